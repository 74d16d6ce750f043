import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { projectFolder } from "../../daemon/project.ts";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "reprise-cli-"));
  daemon = await startTestDaemon();
});
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

function start(argv: string[], env: Record<string, string> = {}) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("REPRISE_"));
  const program = join(projectFolder, "daemon", "cli", "main.ts");
  return spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program, ...argv], {
    cwd: folder,
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** Runs the command line against the test's daemon, to its end. */
async function run(argv: string[], env: Record<string, string> = { REPRISE_NATS_URL: daemon.daemon.natsUrl }) {
  const child = start(argv, env);
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const [code] = await once(child, "close");
  return { code, output, errors };
}

describe("the command line", () => {
  it("calls any command and prints the reply", async () => {
    const { code, output } = await run(["call", "system:ping"]);
    assert.deepEqual([code, JSON.parse(output)], [0, { pong: true }]);
    assert.equal((await run(["call", "system:ping", "{}", "--json"])).output, '{"pong":true}\n');
  });

  it("emits events, and finds the daemon by --url and by the data folder", async () => {
    const byUrl = await run(["emit", "trial:held", '{"n": 1}', "--json", "--url", daemon.daemon.natsUrl], {});
    assert.equal(JSON.parse(byUrl.output).status, "emitted");
    const byFolder = await run(["call", "event:query", '{"types": ["trial:held"]}'], { REPRISE_DATA: daemon.config.data });
    assert.deepEqual(JSON.parse(byFolder.output).events[0].data, { n: 1 });
  });

  it("exits with 1 and the code when the command answers with an error", async () => {
    const { code, output, errors } = await run(["call", "policy:outcome", '{"decision_id": "none", "reward": 1}']);
    assert.deepEqual([code, output], [1, ""]);
    assert.match(errors, /DECISION_UNKNOWN/);
    const json = await run(["call", "policy:outcome", '{"decision_id": "none", "reward": 1}', "--json"]);
    assert.deepEqual([json.code, JSON.parse(json.output).error.code], [1, "DECISION_UNKNOWN"]);
  });

  it("suggests a command for one that does not exist", async () => {
    const { code, errors } = await run(["call", "system:pong"]);
    assert.equal(code, 1);
    assert.match(errors, /COMMAND_NOT_FOUND.*did you mean system:ping/);
  });

  it("exits with 2 for wrong usage, saying what is wrong", async () => {
    for (const [argv, expected] of [
      [["cal", "x"], /Unknown verb "cal"; did you mean call/],
      [["call"], /Usage: reprise call/],
      [["call", "a", "{}", "more"], /Usage: reprise call/],
      [["call", "a:b", "{"], /not JSON/],
      [["call", "query"], /"query" is not the name of a command, such as event:emit/],
      [["call", "event.*"], /not the name of a command/],
      [["tail", "NOT A PATTERN"], /not a pattern/],
      [["call", "a:b", "--colour"], /--colour/],
      [["call", "a:b", "--url", "example"], /--url expects/],
      [["constructor"], /Unknown verb/],
    ] as const) {
      const { code, errors } = await run([...argv]);
      assert.equal(code, 2, argv.join(" "));
      assert.match(errors, expected);
    }
  });

  it("exits with 2 when no server, or no daemon on it, answers", async () => {
    const unused = await run(["call", "system:ping"], { REPRISE_NATS_URL: "nats://127.0.0.1:1" });
    assert.equal(unused.code, 2);
    assert.match(unused.errors, /No NATS server answers at nats:\/\/127\.0\.0\.1:1/);
    assert.doesNotMatch(unused.errors, /npm start/);
    const stopped = await run(["call", "system:ping"], { REPRISE_DATA: join(folder, "none") });
    assert.equal(stopped.code, 2);
    assert.match(stopped.errors, /No daemon runs on .*none\. Start it with: npm start/);
    const alone = await run(["call", "system:ping"], { REPRISE_NATS_URL: daemon.daemon.natsUrl, REPRISE_PREFIX: "elsewhere" });
    assert.equal(alone.code, 2);
    assert.match(alone.errors, /no daemon answers/);
  });

  it("prints events as they are emitted, and ends well when it is interrupted", async () => {
    const child = start(["tail", "trial:*", "--json"], { REPRISE_NATS_URL: daemon.daemon.natsUrl });
    const lines = createInterface({ input: child.stdout });
    const seen = once(lines, "line");
    const emitting = setInterval(() => void daemon.ask("event:emit", { event: "trial:tailed", data: { n: 2 } }), 50);
    const [line] = await seen;
    clearInterval(emitting);
    const { type, data, source, id } = JSON.parse(line);
    assert.deepEqual([type, data, typeof source, typeof id], ["trial:tailed", { n: 2 }, "string", "string"]);
    child.kill("SIGINT");
    const [code] = await once(child, "close");
    assert.equal(code, 0);
  });

  it("explains itself", async () => {
    const { code, output } = await run(["help"]);
    assert.equal(code, 0);
    for (const verb of ["call", "emit", "tail", "why", "demo"]) assert.match(output, new RegExp(`^ {2}${verb} `, "m"));
    assert.equal((await run(["--help"])).output, output);
    assert.equal((await run([])).output, output);
  });
});
