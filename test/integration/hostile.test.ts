import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import fc from "fast-check";
import { type ErrorCode, errorTable } from "../../daemon/errors.ts";
import { type Asker, askerOn } from "../harness/ask.ts";
import { type DaemonProcess, startDaemonProcess } from "../harness/daemon-process.ts";
import { rounds } from "../harness/rounds.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

describe("a client that sends anything whatever", () => {
  let daemon: DaemonProcess;
  let client: NatsConnection;
  let ask: Asker["ask"];
  let codeOf: Asker["codeOf"];
  let residentBefore: number;
  let reconnects = 0;

  before(async () => {
    daemon = await startDaemonProcess();
    client = await connectForEver(daemon.url);
    ({ ask, codeOf } = askerOn(client));
    void (async () => {
      for await (const { type } of client.status()) if (type === "disconnect") reconnects++;
    })();
    await ask("event:emit", { event: "warm:up", condition: "true" });
    residentBefore = await residentMegabytes(daemon);
  });

  after(async () => {
    await client.close();
    await daemon[Symbol.asyncDispose]();
  });

  /** Sends bytes as they are. @returns the error's code, or undefined for a reply that is none */
  async function send(command: string, payload: Uint8Array | string, head: Record<string, string> = {}): Promise<string | undefined> {
    const sent = headers();
    for (const [key, value] of Object.entries(head)) sent.append(key, value);
    const reply = await client.request(command, payload, { timeout: 30_000, headers: sent });
    const body = reply.json<{ error?: { code: string } }>();
    assert.equal(reply.headers?.has("Nats-Service-Error-Code") ?? false, body.error !== undefined);
    return body.error?.code;
  }

  const commands = ["event:emit", "event:query", "composition:save", "routing:add", "agent:spawn", "tool:call", "policy:select"];

  for (const [what, payload] of Object.entries({
    "malformed JSON": "{not json",
    "half a JSON": '{"event": "a:b"',
    "two JSONs": "{}{}",
    "invalid UTF-8": Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
    "a NUL": "\0",
    "JSON nested 100 000 deep": "[".repeat(100_000),
  })) {
    it(`gets REQUEST_MALFORMED for ${what}`, async () => {
      for (const command of commands) assert.equal(await send(command, payload), "REQUEST_MALFORMED", command);
    });
  }

  it("gets REQUEST_INVALID for JSON of another type or shape", async () => {
    const payloads = [
      "null",
      "1",
      '"text"',
      "[]",
      "true",
      '{"__proto__": {"event": "a:b"}}',
      '{"constructor": 1}',
      `${"[".repeat(1_000)}${"]".repeat(1_000)}`,
    ];
    for (const command of commands)
      for (const payload of payloads) assert.equal(await send(command, payload), "REQUEST_INVALID", `${command} ${payload}`);
    const emits = [
      { event: 1 },
      { event: ["a:b"] },
      { event: "a:b", delay: "1" },
      { event: "a:b", condition: {} },
      { event: "a:b", at: 1 },
      { events: [] },
      { events: {} },
    ];
    for (const body of emits) assert.equal(await codeOf("event:emit", body), "REQUEST_INVALID", JSON.stringify(body));
  });

  it("gets REQUEST_MALFORMED for data nested so deep that nothing can go through it", async () => {
    const data = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
    assert.equal(await send("event:emit", `{"event": "trial:deep", "data": ${data}}`), "REQUEST_MALFORMED");
  });

  it("gets COMMAND_NOT_FOUND for a command that nobody answers, through event:emit", async () => {
    assert.equal(await codeOf("event:emit", { event: "composition:explode" }), "COMMAND_NOT_FOUND");
  });

  it("gets NAME_INVALID for a name that breaks the grammar", async () => {
    const names = [
      "",
      "a",
      "a:",
      ":b",
      "a:b:c",
      "A:b",
      "a.b",
      "a:b\n",
      "a:*",
      "*",
      ">",
      "a:>",
      "a b:c",
      "ä:b",
      "a:b\0",
      `a:${"b".repeat(65)}`,
      "$JS.API.STREAM.PURGE.EVENTS",
    ];
    for (const event of names) assert.equal(await codeOf("event:emit", { event }), "NAME_INVALID", event);
  });

  it("gets REQUEST_INVALID for ids with line breaks, spaces or wildcards", async () => {
    for (const id of ["a\r\nNats-Rollup: all", "a b", "", "*", ">", "a\0", "é", "x".repeat(129)]) {
      assert.equal(await codeOf("event:emit", { event: "a:b", id }), "REQUEST_INVALID", JSON.stringify(id));
    }
  });

  it("gets EVENT_TOO_LARGE for an event over 1 MB, from a payload that the server lets pass", async () => {
    assert.equal(await codeOf("event:emit", { event: "a:b", data: "x".repeat(1_048_577) }), "EVENT_TOO_LARGE");
    assert.equal(await codeOf("event:emit", { event: "a:b", data: "x".repeat(7_000_000) }), "EVENT_TOO_LARGE");
    assert.equal(
      await codeOf("event:emit", { events: [{ event: "a:b" }, { event: "a:b", data: "x".repeat(1_048_577) }] }),
      "EVENT_TOO_LARGE",
    );
  });

  const bombs = {
    "a memory bomb": '$length($pad("x", 2e8)) > 0',
    "many of them": '$map([1..1000], function($n) { $length($pad("x", 2e8)) }) = 0',
    "endless recursion": "($f := function($n) { $f($n + 1) + 1 }; $f(1)) > 0",
    "an endless loop": "($f := function($n) { $f($n + 1) }; $f(1)) > 0",
    "a catastrophic regular expression": `$contains("${"a".repeat(40)}!", /^(a+)+$/)`,
    "a huge sequence": "$count([1..9999999]) > 0",
  };

  for (const [what, expression] of Object.entries(bombs)) {
    it(`gets EXPRESSION_LIMIT for ${what} as a condition`, async () => {
      assert.equal(await codeOf("event:emit", { event: "bomb:thrown", condition: expression }), "EXPRESSION_LIMIT");
    });
  }

  it("gets EXPRESSION_INVALID for what is no expression", async () => {
    for (const condition of ["data >", "((((", '"', "{", "/(/", "(".repeat(10_000)]) {
      const code = await codeOf("event:emit", { event: "a:b", condition });
      assert.ok(["EXPRESSION_INVALID", "EXPRESSION_LIMIT"].includes(code), `${condition.slice(0, 20)}: ${code}`);
    }
    assert.equal(await codeOf("routing:add", { event: "a:b", emit: "c:d", mapping: "data >" }), "EXPRESSION_INVALID");
  });

  it("finds the bombs of its routing rules among the dead letters, and its other rules working", async () => {
    for (const [index, condition] of Object.values(bombs).entries()) {
      await ask("routing:add", { id: `bomb-${index}`, event: "bomb:armed", condition, emit: "bomb:exploded" });
    }
    await ask("routing:add", { id: "sound", event: "bomb:armed", emit: "bomb:survived" });
    const { id } = await ask<{ id: string }>("event:emit", { event: "bomb:armed" });
    const letter = await until(async () => {
      const { letters } = await ask<{ letters: { code?: string; event: { id: string } }[] }>("event:dead", { listener: "routing" });
      return letters.find(({ event }) => event.id === id);
    }, "the dead letter");
    assert.equal(letter.code, "EXPRESSION_LIMIT");
    const { events } = await ask<{ events: { type: string }[] }>("event:query", { types: ["bomb:survived", "bomb:exploded"] });
    assert.deepEqual(
      events.map(({ type }) => type),
      ["bomb:survived"],
    );
    for (const { id: rule } of (await ask<{ rules: { id: string }[] }>("routing:list")).rules) await ask("routing:remove", { id: rule });
  });

  it("sees a cycle of two rules end at the hop limit", async () => {
    await ask("routing:add", { id: "there", event: "cycle:ping", emit: "cycle:pong" });
    await ask("routing:add", { id: "back", event: "cycle:pong", emit: "cycle:ping" });
    await ask("event:emit", { event: "cycle:ping" });
    await until(async () => {
      const { letters } = await ask<{ letters: { code?: string }[] }>("event:dead", { listener: "routing" });
      return letters.some(({ code }) => code === "EVENT_HOPS_EXCEEDED");
    }, "the dead letter");
    const { events } = await ask<{ events: unknown[] }>("event:query", { types: ["cycle:*"] });
    assert.equal(events.length, 9);
    for (const id of ["there", "back"]) await ask("routing:remove", { id });
  });

  const yaml = (more: string) => `name: hostile\ntype: orchestration\nversion: 1.0.0\n${more}`;
  const levels = Array.from({ length: 20_000 }, (_, depth) => `${" ".repeat(Math.min(depth, 10))}a:\n`).join("");
  for (const [what, content] of Object.entries({
    "a sequence nested 20 000 deep": yaml(`x: ${"[".repeat(20_000)}${"]".repeat(20_000)}`),
    "a map nested 20 000 deep": yaml(`x: ${"{a: ".repeat(20_000)}1${"}".repeat(20_000)}`),
    "dashes nested 20 000 deep": yaml(`x:\n  ${"- ".repeat(20_000)}1`),
    "twenty thousand keys of one name": yaml(levels),
    "an alias bomb": yaml(
      `a: &a [x, x, x, x, x, x, x, x, x]\n${"bcdefghij"
        .split("")
        .map((name, index) => `${name}: &${name} [${Array.from({ length: 9 }, () => `*${"abcdefghij"[index]}`).join(", ")}]`)
        .join("\n")}`,
    ),
    "a merge of itself": yaml("x: &x\n  <<: *x"),
    "a tag": yaml('x: !!js/function "function () {}"'),
    "the key __proto__": yaml("__proto__: {polluted: true}"),
    "a text over 256 KB": yaml(`x: ${"y".repeat(300_000)}`),
    "no YAML": "\t@`%",
    "an empty text": "",
  })) {
    it(`gets COMPOSITION_INVALID for ${what}`, async () => {
      const create = { type: "orchestration", name: "hostile", content };
      assert.equal(await codeOf("composition:create", create), "COMPOSITION_INVALID");
      assert.equal((await ask("composition:validate", { content })).valid, false);
    });
  }

  it("gets an error for names that lead elsewhere, and nothing is written", async () => {
    const names = [
      "../x",
      "..",
      ".",
      "a/../../x",
      "/etc/passwd",
      ".git/config",
      ".GIT/config",
      ".git",
      "git~1",
      "x.lock",
      "x::$INDEX_ALLOCATION",
      ".git::$INDEX_ALLOCATION/config",
      "a\\..\\b",
      "a\u200bb",
      ".g\u200cit",
      "\u202etxt",
      "a\0b",
      "con",
      "x.",
      "",
      "x".repeat(65),
      "A",
      "x_decisions/0001",
    ];
    const { compositions } = await ask<{ compositions: unknown[] }>("composition:list");
    const { commit } = await ask<{ commit: string }>("composition:get", { name: "compression_tournament" });
    const expected = ["REQUEST_INVALID", "NAME_INVALID", "COMPOSITION_NOT_FOUND"];
    for (const name of names) {
      const content = `name: ${JSON.stringify(name)}\ntype: orchestration\nversion: 1.0.0\n`;
      const codes = {
        create: await codeOf("composition:create", { type: "orchestration", name, content }),
        save: await codeOf("composition:save", { name, content, based_on: commit }),
        delete: await codeOf("composition:delete", { name }),
        get: await codeOf("composition:get", { name }),
        track: await codeOf("composition:track_decision", { pattern: name, decision: "x" }),
        decisions: await codeOf("composition:decisions", { pattern: name }),
        start: await codeOf("orchestration:start", { pattern: name }),
        spawn: await codeOf("agent:spawn", { profile: name }),
      };
      for (const [command, code] of Object.entries(codes))
        assert.ok(expected.includes(code), `${command} ${JSON.stringify(name)}: ${code}`);
    }
    assert.equal((await ask<{ compositions: unknown[] }>("composition:list")).compositions.length, compositions.length);
  });

  it("cannot inject headers, and garbage in ce-* headers gets an answer", async () => {
    const emit = JSON.stringify({ event: "header:garbage" });
    for (const key of ["ce-id", "ce-hops", "ce-correlationid", "ce-causationid", "ce-run", "ce-source", "traceparent"]) {
      for (const value of [
        "",
        "-1",
        "1e9",
        "NaN",
        "99999999999999999999",
        "é\u200b",
        "a b",
        "x".repeat(10_000),
        "*",
        ">",
        "{}",
        "Nats-Rollup: all",
      ]) {
        const code = await send("event:emit", emit, { [key]: value });
        assert.ok(
          code === undefined || ["REQUEST_INVALID", "EVENT_HOPS_EXCEEDED"].includes(code),
          `${key}: ${value.slice(0, 30)}: ${code}`,
        );
      }
    }
    assert.equal(await send("event:emit", emit, { "ce-agent": "nobody" }), "AGENT_UNKNOWN");
    assert.equal(await send("event:emit", emit, { "ce-hops": "9999" }), "EVENT_HOPS_EXCEEDED");
    const { events } = await ask<{ events: { id: string }[] }>("event:query", { types: ["header:garbage"] });
    for (const { id } of events) assert.match(id, /^[0-9A-Z]{26}$/);
  });

  it("always gets an answer to event:emit, and never INTERNAL", async () => {
    const name = fc.oneof(fc.constantFrom("fuzz:made", "system:ping", "event:query", "routing:added", "tool:call"), fc.string());
    const emission = fc.record(
      {
        event: fc.oneof({ weight: 5, arbitrary: name }, fc.jsonValue()),
        data: fc.jsonValue(),
        id: fc.oneof(fc.string({ unit: "binary" }), fc.jsonValue()),
        delay: fc.oneof(fc.double(), fc.jsonValue()),
        at: fc.oneof(fc.date({ noInvalidDate: false }).map(String), fc.string()),
        condition: fc.oneof(fc.constantFrom("true", "data.x > 1", "$error('no')", "$eval('1')"), fc.string()),
        events: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    const payload = fc.oneof(
      emission.map((body) => JSON.stringify(body)),
      fc.array(emission, { maxLength: 5 }).map((events) => JSON.stringify({ events })),
      fc.json(),
      fc.uint8Array({ maxLength: 200 }),
    );
    await fc.assert(
      fc.asyncProperty(payload, async (sent) => {
        const code = await send("event:emit", sent);
        assert.ok(code === undefined || (Object.hasOwn(errorTable, code) && (code as ErrorCode) !== "INTERNAL"), String(code));
      }),
      { numRuns: rounds(500, 20_000) },
    );
  });

  it("leaves the connection alive and the daemon ready, without a defect in its log, and no larger than before", async () => {
    assert.equal(reconnects, 0);
    assert.equal((await ask("system:ping")).pong, true);
    const health = await fetch(`${daemon.httpUrl}/healthz`);
    assert.deepEqual(await health.json(), { status: "ready" });
    const defects = daemon.log.split("\n").filter((line) => /unhandled|failed unexpectedly|"level":"fatal"/i.test(line));
    assert.deepEqual(defects, []);
    assert.equal(daemon.process.exitCode, null);
    const grown = (await residentMegabytes(daemon)) - residentBefore;
    assert.ok(grown < 250, `grown by ${grown} MB`);
  });
});

async function residentMegabytes({ process }: DaemonProcess): Promise<number> {
  const status = await readFile(`/proc/${process.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}
