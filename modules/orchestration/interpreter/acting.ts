/** The statements that are one step each: what a pattern does to the world. */
import type { Statement } from "../language/ast.ts";
import { listOf, object, objectOf, seconds, text } from "./fit.ts";
import { agentsOf } from "./groups.ts";
import type { Family } from "./place.ts";

type Acting = "emit" | "call" | "consider" | "run" | "choose" | "outcome" | "track" | "query" | "spawn" | "terminate";

export const acting: Family<Extract<Statement["kind"], Acting>> = {
  async emit({ event, data, after, as }, at) {
    const name = text(await at.value(event), "the name of an event", at.line);
    const delay = seconds(await at.optional(after), "AFTER", at.line);
    at.keep(as, await at.step({ kind: "emit", event: name, data: await at.optional(data), ...(delay !== undefined && { delay }) }));
    return undefined;
  },
  async call({ command, input, as }, at) {
    const name = text(await at.value(command), "the name of a command", at.line);
    at.keep(as, await at.step({ kind: "call", command: name, input: (await at.optional(input)) ?? {} }));
    return undefined;
  },
  async consider({ command, input, condition }, at) {
    if (!(await at.holds(condition))) return undefined;
    const name = text(await at.value(command), "the name of a command", at.line);
    await at.step({ kind: "consider", command: name, input: (await at.optional(input)) ?? {} });
    return undefined;
  },
  async run({ tool, input, as }, at) {
    const name = text(await at.value(tool), "the name of a tool", at.line);
    const reply = await at.step({ kind: "run", tool: name, input: (await at.optional(input)) ?? {} });
    at.keep(as, (reply as { result?: unknown } | undefined)?.result);
    return undefined;
  },
  async choose({ slot, candidates, context, as }, at) {
    const from = listOf(await at.value(candidates)).filter((candidate) => candidate !== undefined);
    at.keep(as, await at.step({ kind: "choose", slot, context: await at.optional(context), candidates: from }));
    return undefined;
  },
  async outcome({ selection, fields }, at) {
    const chosen = at.strand.scope.state[selection] as { decision_id?: unknown } | null | undefined;
    const id = text(chosen?.decision_id, `"${selection}" to be what a CHOOSE gave`, at.line);
    await at.step({ kind: "outcome", input: { ...(await objectOf(fields, at)), decision_id: id } });
    return undefined;
  },
  async track({ fields }, at) {
    await at.step({ kind: "track", input: await objectOf(fields, at) });
    return undefined;
  },
  async query({ input, as }, at) {
    const asked = await at.value(input);
    const query = typeof asked === "string" ? { types: [asked] } : object(asked, "what to look for in the event log", at.line);
    at.keep(as, await at.step({ kind: "query", input: query }));
    return undefined;
  },
  async spawn({ fields, as }, at) {
    const input = await objectOf(fields, at);
    text(input.profile, "the profile of an agent", at.line);
    const reply = (await at.step({ kind: "spawn", input })) as { agents?: unknown } | undefined;
    at.keep(as, reply?.agents ?? reply);
    return undefined;
  },
  async terminate({ agents }, at) {
    await at.step({ kind: "terminate", agents: await agentsOf(await at.value(agents), at, true) });
    return undefined;
  },
};
