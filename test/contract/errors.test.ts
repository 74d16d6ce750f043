import assert from "node:assert/strict";
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it, test } from "node:test";
import { z } from "zod";
import { CodedError, type ErrorBody, type ErrorCode, errorTable } from "../../daemon/errors.ts";
import { commandsOf, type Module, type ModuleContext } from "../../daemon/module.ts";
import { projectFolder } from "../../daemon/project.ts";
import orchestration from "../../modules/orchestration/index.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { Learner } from "../../modules/policy/learner/learner.ts";
import { uniform } from "../../modules/policy/policies/uniform.ts";
import { renderErrorDocs } from "../../scripts/error-docs.ts";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { temporaryFolder } from "../harness/git.ts";
import { protocols, startModelServer } from "../harness/model-server.ts";
import { startModule } from "../harness/module-context.ts";
import { startTestServer } from "../harness/nats-server.ts";
import { until } from "../harness/until.ts";

test("docs/errors.md is current (mend it with --test-update-snapshots)", (t) => {
  t.assert.fileSnapshot(renderErrorDocs(), join(projectFolder, "docs", "errors.md"), { serializers: [(text) => text] });
});

type Provocation = (daemon: TestDaemon) => Promise<string | undefined>;

const asked =
  (command: string, body: unknown, head?: Record<string, string>): Provocation =>
  ({ codeOf }) =>
    codeOf(command, body, head);
const emitted = (body: object, head?: Record<string, string>): Provocation => asked("event:emit", { event: "a:b", ...body }, head);

/** The error that a run of this strategy ends with. */
const played =
  (strategy: string, request: object = {}): Provocation =>
  async ({ ask }) => {
    const name = `p-${performance.now()}`.replace(".", "-");
    await ask("composition:create", { type: "orchestration", name, content: patternOf(name, strategy) });
    const { run_id } = await ask("orchestration:start", { pattern: name, ...request });
    const { error } = await ask<{ error?: { code: string } }>("orchestration:status", { run_id, wait: 20 });
    return error?.code;
  };

const patternOf = (name: string, strategy: string) =>
  `name: ${name}\ntype: orchestration\nversion: 1.0.0\norchestration_logic:\n  strategy: |\n${strategy.replaceAll(/^/gm, "    ")}\n`;

/** The error with which an agent of this profile answers a message. */
async function replied(ask: TestDaemon["ask"], profile: string): Promise<string | undefined> {
  const { agent_id } = await ask<{ agent_id: string }>("agent:spawn", { profile });
  const { message_id } = await ask<{ message_id: string }>("agent:send", { to: agent_id, message: "?" });
  const reply = async () => {
    const { events } = await ask<{ events: { data: { in_reply_to?: string; error?: { code: string } } }[] }>("event:query", {
      types: ["agent:message_sent"],
      limit: 1000,
    });
    return events.find(({ data }) => data.in_reply_to === message_id);
  };
  return (await until(reply, "the reply")).data.error?.code;
}

/** An agent that may list rules with a human's approval: asks for them, and decides in the human's place. */
async function careful({ ask, codeOf }: TestDaemon) {
  const name = `careful-${performance.now()}`.replace(".", "-");
  const content = `name: ${name}\ntype: profile\nversion: 1.0.0\ncapabilities: ["routing:list"]\napproval: ["routing:list"]\n`;
  await ask("composition:create", { type: "profile", name, content });
  const { agent_id } = await ask<{ agent_id: string }>("agent:spawn", { profile: name });
  return {
    ask: () => codeOf("routing:list", {}, { "ce-agent": agent_id, "ce-id": name }),
    async decide(decision: string, hash?: string): Promise<string> {
      const { approvals } = await ask<{ approvals: { id: string; hash: string; state: string }[] }>("approval:list", { agent_id });
      const [found] = approvals;
      const body = { id: found?.id, hash: hash ?? found?.hash, decision, by: "Ada" };
      if (found?.state !== "pending" || hash !== undefined) return codeOf("approval:decide", body);
      await ask("approval:decide", body);
      return decision;
    },
  };
}

/** All codes that one sound daemon can be brought to answer. */
const provocations: Partial<Record<ErrorCode, Provocation>> = {
  REQUEST_MALFORMED: asked("event:emit", "{"),
  REQUEST_INVALID: asked("event:emit", { event: 1 }),
  REQUEST_TIMEOUT: asked("probe:hang", {}),
  NAME_INVALID: emitted({ event: "No:Name" }),
  COMMAND_NOT_FOUND: emitted({ event: "event:unheard_of" }),
  async CAPABILITY_DENIED({ ask, codeOf }) {
    const { agent_id } = await ask<{ agent_id: string }>("agent:spawn", { profile: "base_multi_agent", capabilities: ["agent:list"] });
    return codeOf("event:query", {}, { "ce-agent": agent_id });
  },
  AGENT_UNKNOWN: asked("event:query", {}, { "ce-agent": "nobody" }),
  INTERNAL: asked("probe:fail", {}),
  SHUTTING_DOWN: async () => atStart,
  EVENT_RESERVED: emitted({ event: "agent:completed" }),
  EVENT_TOO_LARGE: emitted({ data: "x".repeat(1_048_577) }),
  EVENT_HOPS_EXCEEDED: emitted({}, { "ce-hops": "8" }),
  EVENT_TIME_INVALID: emitted({ at: "tomorrow" }),
  EVENT_NOT_FOUND: asked("event:trace", { id: "nobody" }),
  SCHEDULE_NOT_FOUND: asked("event:cancel", { id: "nobody" }),
  DEAD_LETTER_NOT_FOUND: asked("event:redrive", { id: "99" }),
  EXPRESSION_INVALID: emitted({ condition: "data >" }),
  EXPRESSION_FAILED: emitted({ condition: 'data.x + "1"' }),
  EXPRESSION_LIMIT: emitted({ condition: '$length($pad("x", 2e8)) > 0' }),
  async EXPRESSION_BUSY() {
    const { expressions } = await context();
    const outcomes = await Promise.allSettled(Array.from({ length: 10_100 }, () => expressions.check("true")));
    const refused = outcomes.find((outcome) => outcome.status === "rejected");
    return codeIn(refused?.reason);
  },
  ROUTE_NOT_FOUND: asked("routing:remove", { id: "nobody" }),
  COMPOSITION_NOT_FOUND: asked("composition:get", { name: "nobody" }),
  COMPOSITION_INVALID: asked("composition:create", { type: "orchestration", name: "bad", content: "[" }),
  async COMPOSITION_UNRELATED({ ask, codeOf }) {
    const [source, target] = [await created(ask, "one-family"), await created(ask, "other-family")];
    return codeOf("composition:merge", { source: source.name, target: target.name, strategy: "full" });
  },
  async COMPOSITION_EXISTS({ ask, codeOf }) {
    const { name } = await created(ask, "taken");
    return codeOf("composition:create", { type: "orchestration", name, content: patternOf(name, "RETURN 1") });
  },
  async COMPOSITION_STALE({ ask, codeOf }) {
    const { name, commit } = await created(ask, "stale");
    await ask("composition:save", { name, content: patternOf(name, "EMIT 'a:c'"), based_on: commit });
    return codeOf("composition:save", { name, content: patternOf(name, "EMIT 'a:d'"), based_on: commit });
  },
  async REPOSITORY_CONFLICT({ ask, codeOf, config }) {
    const { name, commit } = await created(ask, "edited");
    await appendFile(join(config.compositions, "orchestrations", `${name}.yaml`), "# by hand\n");
    return codeOf("composition:save", { name, content: patternOf(name, "EMIT 'a:c'"), based_on: commit });
  },
  AGENT_NOT_FOUND: asked("agent:info", { agent_id: "nobody" }),
  async AGENT_ENDED({ ask, codeOf }) {
    const { agent_id } = await ask<{ agent_id: string }>("agent:spawn", { profile: "base_multi_agent" });
    await ask("agent:terminate", { agent_id });
    return codeOf("agent:send", { to: agent_id, message: "?" });
  },
  AGENT_CANNOT_ANSWER: ({ ask }) => replied(ask, "base_multi_agent"),
  async AGENT_UNREACHABLE({ ask }) {
    const content = "name: away\ntype: profile\nversion: 1.0.0\nprotocol: agents\nsubject: agents.prompt.nobody.is.here\n";
    await ask("composition:create", { type: "profile", name: "away", content });
    return replied(ask, "away");
  },
  AWAIT_EXPIRED: played('AWAIT "nobody:spoke" WITHIN 0.1s'),
  APPROVAL_NOT_FOUND: asked("approval:info", { id: "nobody" }),
  APPROVAL_REQUIRED: async (daemon) => (await careful(daemon)).ask(),
  async APPROVAL_DENIED(daemon) {
    const { ask, decide } = await careful(daemon);
    await ask();
    await decide("deny");
    return ask();
  },
  async APPROVAL_DECIDED(daemon) {
    const { ask, decide } = await careful(daemon);
    await ask();
    await decide("deny");
    return decide("approve");
  },
  async APPROVAL_MISMATCH(daemon) {
    const { ask, decide } = await careful(daemon);
    await ask();
    return decide("approve", "0".repeat(64));
  },
  RUN_NOT_FOUND: asked("orchestration:status", { run_id: "nobody" }),
  RUN_LIMIT_EXCEEDED: played("EMIT 'a:b'\nEMIT 'a:b'", { budget: { steps: 1 } }),
  RUN_ABORTED: played("ABORT 'enough'"),
  JUDGEMENT_REQUIRED: played("REQUIRED: decide who goes first."),
  PATTERN_INVALID: asked("orchestration:start", { pattern: "base_multi_agent" }),
  TOOL_NOT_FOUND: asked("tool:call", { name: "nobody" }),
  TOOL_FAILED: asked("tool:call", { name: "profile_file", arguments: { path: "/nowhere/at/all" } }),
  MODEL_NOT_CONFIGURED: asked("model:generate", { prompt: "Well?" }),
  DECISION_NOT_FOUND: asked("composition:resolve_decision", { id: "nobody", outcome: "good" }),
  async DECISION_RESOLVED({ ask, codeOf }) {
    const { name } = await created(ask, "decided");
    const { id } = await ask("composition:track_decision", { pattern: name, decision: "this", outcome: "good" });
    return codeOf("composition:resolve_decision", { id, outcome: "bad" });
  },
  DECISION_UNKNOWN: asked("policy:outcome", { decision_id: "nobody", reward: 1 }),
  async OUTCOME_FOREIGN({ ask, codeOf }) {
    const selection = { slot: "lamp", candidates: [{ id: "red" }] };
    const { decision_id } = await ask<{ decision_id: string }>("policy:select", selection, { "ce-source": "alice" });
    return codeOf("policy:outcome", { decision_id, reward: 1 }, { "ce-source": "bob" });
  },
  POLICY_UNKNOWN: asked("policy:select", { slot: "lamp", candidates: [{ id: "red" }], policy: "oracle" }),
  POLICY_UNTRAINED: asked("policy:promote", { slot: "lamp", policy: "kto" }),
  POLICY_NOT_SERVING: asked("policy:select", { slot: "lamp", candidates: [{ id: "red" }], policy: "kto" }),
  TRAINING_INSUFFICIENT: asked("policy:train", { slot: "lamp", policy: "kto" }),
  async LEARNER_BUSY() {
    await using learner = new Learner({ mostAsked: 0 });
    const job = { kind: "train", policy: "kto", options: { spec: defaultSpec, seed: 1 } } as const;
    return codeIn(await learner.train(job, [], new AbortController().signal).catch((error: unknown) => error));
  },
  PROMOTION_REFUSED: asked("policy:promote", { slot: "lamp", policy: "uniform" }),
  async SLOT_FROZEN({ ask, codeOf }) {
    await ask("policy:freeze", { slot: "cold" });
    return codeOf("policy:promote", { slot: "cold", policy: "uniform" });
  },
  SLOT_RESERVED: asked("policy:select", { slot: "experiment/lamp", candidates: [{ id: "red" }] }),
  ROLLBACK_IMPOSSIBLE: asked("policy:rollback", { slot: "lamp" }),
  EXPERIMENT_NOT_FOUND: asked("experiment:stop", { name: "nobody" }),
  async EXPERIMENT_ENDED({ ask, codeOf }) {
    await ask("experiment:start", { name: "over", variants: ["one", "other"] });
    await ask("experiment:stop", { name: "over" });
    return codeOf("experiment:assign", { name: "over" });
  },
  async EXPERIMENT_EXISTS({ ask, codeOf }) {
    const experiment = { name: "twice", variants: ["one", "other"] };
    await ask("experiment:start", experiment);
    return codeOf("experiment:start", experiment);
  },
  async POLICY_STATE_INVALID() {
    const load = async () => uniform.load(new Uint8Array(9), { spec: defaultSpec, seed: 1 });
    return codeIn(await load().catch((error: unknown) => error));
  },
  /** Last, since it leaves the repository so. */
  async REPOSITORY_UNAVAILABLE({ codeOf, config }) {
    const commit = "0".repeat(40);
    await writeFile(join(config.compositions, ".git", "HEAD"), `${commit}\n`);
    return codeOf("composition:create", { type: "orchestration", name: "late", content: patternOf("late", "EMIT 'a:b'") });
  },
};

async function created(ask: TestDaemon["ask"], name: string): Promise<{ name: string; commit: string }> {
  const content = patternOf(name, "EMIT 'a:b'");
  return { name, commit: (await ask<{ commit: string }>("composition:create", { type: "orchestration", name, content })).commit };
}

let inside = Promise.withResolvers<ModuleContext>();
const context = () => inside.promise;
/** What a call is answered while the daemon starts. */
let atStart: string | undefined;

const codeIn = (error: unknown): string | undefined => (error instanceof CodedError ? error.code : undefined);

const command = commandsOf<AsyncDisposable>();

/** A module that does badly, and shows its context. @param onStart done before the other modules are answered */
function probe(onStart: (context: ModuleContext) => Promise<unknown> = async () => {}): Module {
  const nothing = { description: "", input: z.strictObject({}), output: z.unknown() };
  return {
    name: "probe",
    description: "Fails in every way.",
    events: {},
    commands: {
      "probe:hang": command({ ...nothing, deadline: 0.2, handle: () => new Promise(() => {}) }),
      "probe:hold": command({
        ...nothing,
        handle: (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      }),
      "probe:fail": command({
        ...nothing,
        handle() {
          throw new Error("as asked for");
        },
      }),
    },
    async start(given) {
      atStart = codeIn(await given.call("system:ping", {}).catch((error: unknown) => error));
      await onStart(given);
      inside.resolve(given);
      return { [Symbol.asyncDispose]: async () => {} };
    },
  };
}

const provoked = new Set<string>();

describe("a daemon in good health", () => {
  let daemon: TestDaemon;
  before(async () => {
    inside = Promise.withResolvers();
    daemon = await startTestDaemon({ modules: [probe()] });
  });
  after(() => daemon[Symbol.asyncDispose]());

  for (const [code, provoke] of Object.entries(provocations)) {
    it(`answers ${code}`, async () => {
      assert.equal(await provoke(daemon), code);
      provoked.add(code);
    });
  }

  it("gives the status and whether to retry as the table says", async () => {
    const reply = await daemon.client.request("event:emit", "{");
    const { error } = reply.json<ErrorBody>();
    const { status, retryable } = errorTable.REQUEST_MALFORMED;
    assert.equal(reply.headers?.get("Nats-Service-Error-Code"), String(status));
    assert.equal(reply.headers?.get("Nats-Service-Error"), error.message);
    assert.deepEqual([error.code, error.retryable], ["REQUEST_MALFORMED", retryable]);
  });
});

test("a daemon whose NATS server stalls answers EVENT_OUTCOME_UNKNOWN, and EVENT_LOG_UNAVAILABLE once it is gone", async (t) => {
  const server = await startTestServer(join(await temporaryFolder(t), "nats"));
  t.after(() => server[Symbol.asyncDispose]());
  inside = Promise.withResolvers();
  const url = server.url.replace("//", `//${server.user}:${server.password}@`);
  await using _ = await startTestDaemon({ modules: [probe()], config: { nats: { kind: "external", url } } });
  const emit = async () => codeIn(await (await context()).call("event:emit", { event: "a:b" }).catch((error: unknown) => error));
  process.kill(server.pid, "SIGSTOP");
  try {
    // On a busy machine it takes a moment until all its threads stand still.
    await until(async () => (await emit()) === "EVENT_OUTCOME_UNKNOWN", "the server to stall");
  } finally {
    process.kill(server.pid, "SIGCONT");
  }
  provoked.add("EVENT_OUTCOME_UNKNOWN");

  await server[Symbol.asyncDispose]();
  await until(async () => (await emit()) === "EVENT_LOG_UNAVAILABLE", "the loss of the connection");
  provoked.add("EVENT_LOG_UNAVAILABLE");
});

test("a run that was stopped in a step ends with STEP_OUTCOME_UNKNOWN, and with RUN_DIVERGED when its journal tells another story", async (t) => {
  const data = join(await temporaryFolder(t), "data");
  const runs: string[] = [];
  {
    await using daemon = await startTestDaemon({ modules: [probe()], config: { data } });
    await daemon.ask("composition:create", { type: "orchestration", name: "held", content: patternOf("held", 'CALL "probe:hold"') });
    for (let count = 0; count < 2; count++)
      runs.push((await daemon.ask<{ run_id: string }>("orchestration:start", { pattern: "held" })).run_id);
    for (const run_id of runs) {
      const hasIntent = async () => (await daemon.ask<{ entries: unknown[] }>("orchestration:journal", { run_id })).entries.length > 1;
      await until(hasIntent, "the intent of the step");
    }
  }
  const [held = "", changed = ""] = runs;
  const elsewhere = { step: "1", line: 999, value: null, milliseconds: 0 };
  const { promise: started, resolve: onStart } = Promise.withResolvers<ModuleContext>();
  const changeJournal = (context: ModuleContext) => {
    onStart(context);
    return context.journal.append(changed, 2, {
      type: "steps",
      at: new Date().toISOString(),
      elapsed: 0,
      results: [elsewhere],
      intents: [],
    });
  };
  await using daemon = await startTestDaemon({ modules: [probe(changeJournal)], config: { data } });
  // A human is asked whether the step was done; here nobody answers in time.
  const inquiry = await until(async () => {
    const { approvals } = await daemon.ask<{ approvals: { id: string }[] }>("approval:list", { run_id: held });
    return approvals[0];
  }, "the question");
  await (await started).call("approval:expire", { id: inquiry.id }, { caller: { kind: "module", id: "approval" } });
  for (const [run_id, expected] of [[held, "STEP_OUTCOME_UNKNOWN"] as const, [changed, "RUN_DIVERGED"] as const]) {
    const { error } = await daemon.ask<{ error?: { code: string } }>("orchestration:status", { run_id, wait: 20 });
    assert.equal(error?.code, expected);
    provoked.add(expected);
  }
});

test("the journal of a run that was deleted says so", async () => {
  const data = { name: "quick", orchestration_logic: { strategy: "RETURN 1" } };
  const handlers = { "composition:render": () => ({ name: "quick", type: "orchestration", version: "1.0.0", commit: "c1", data }) };
  await using module = await startModule(orchestration, {
    handlers,
    settings: { keep_ended: 0, grace_minutes: 1e-6, sweep_minutes: 1e-4 },
  });
  const { run_id } = await module.call("orchestration:start", { pattern: "quick" });
  await module.call("orchestration:status", { run_id, wait: 5 });
  await until(async () => module.log.ofType("orchestration:deleted").length > 0, "the run to be deleted");
  await assert.rejects(module.call("orchestration:journal", { run_id }), { code: "RUN_DELETED" });
  provoked.add("RUN_DELETED");
});

test("a model that is overloaded, refuses or does not fit the schema ends in a code of its own", async (t) => {
  const answers = { MODEL_UNAVAILABLE: { status: 503 }, MODEL_REFUSED: { status: 401 }, MODEL_ANSWER_INVALID: {} } as const;
  const server = await startModelServer(({ model }) => {
    const answer = answers[model as keyof typeof answers];
    return "status" in answer ? { error: { message: "no" }, ...answer } : { content: "Perhaps." };
  });
  t.after(() => server[Symbol.asyncDispose]());
  const modelAt = (model: string) => ({ ...protocols.openai_compatible(server.url), model, attempts: 1 });
  const models = Object.fromEntries(Object.keys(answers).map((code) => [code.toLowerCase(), modelAt(code)]));
  await using daemon = await startTestDaemon({ config: { sections: { models } } });
  for (const code of Object.keys(answers)) {
    assert.equal(await daemon.codeOf("model:generate", { model: code.toLowerCase(), prompt: "Well?", schema: { type: "object" } }), code);
    provoked.add(code);
  }
});

test("every code of the table was provoked", () => {
  const codes = Object.keys(errorTable);
  assert.ok(codes.length > 30);
  assert.deepEqual(
    codes.filter((code) => !provoked.has(code)),
    [],
  );
});
