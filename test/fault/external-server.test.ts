import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import pino from "pino";
import { startProcess } from "../../daemon/nats/server-process.ts";
import { spawnDaemon } from "../harness/daemon-process.ts";
import { temporaryFolder } from "../harness/git.ts";
import { natsBinary } from "../harness/nats-binary.ts";

test("a server without JetStream is refused, and the message says what it lacks", async (t) => {
  const folder = await temporaryFolder(t);
  const configuration = join(folder, "plain.conf");
  await writeFile(configuration, "host: 127.0.0.1, port: -1");
  const server = await startProcess(await natsBinary(), configuration, pino({ level: "silent" }), new AbortController().signal);
  t.after(() => server.stop());
  assert.match(await refusalOf(`nats://127.0.0.1:${server.port}`, t), /JetStream/);
});

test("a server that is too old is refused, and the message names its version and the one that is needed", async (t) => {
  const old = createServer((socket) => {
    socket.on("error", () => {});
    const info = { server_id: "OLD", version: "2.10.27", proto: 1, headers: true, max_payload: 1_048_576, jetstream: true };
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
    socket.on("data", (text) => {
      if (text.includes("PING")) socket.write("PONG\r\n");
    });
  });
  old.listen(0, "127.0.0.1");
  await once(old, "listening");
  t.after(() => old.close());
  assert.match(await refusalOf(`nats://127.0.0.1:${(old.address() as AddressInfo).port}`, t), /2\.10\.27.*2\.14/);
});

test("a server that cannot be reached is named", async (t) => {
  const address = `nats://127.0.0.1:${await closedPort()}`;
  assert.ok((await refusalOf(address, t)).includes(address));
});

test("a server that refuses the credentials is named", async (t) => {
  const folder = await temporaryFolder(t);
  const configuration = join(folder, "closed.conf");
  await writeFile(configuration, "host: 127.0.0.1, port: -1, authorization: {user: someone, password: else}");
  const server = await startProcess(await natsBinary(), configuration, pino({ level: "silent" }), new AbortController().signal);
  t.after(() => server.stop());
  const message = await refusalOf(`nats://reprise:wrong@127.0.0.1:${server.port}`, t);
  assert.match(message, /[Aa]uthorization/);
  assert.ok(message.includes(`nats://127.0.0.1:${server.port}`));
  assert.ok(!message.includes("wrong"));
});

/** Starts a daemon on the server; asserts that it ends with exit code 1 and one fatal line. @returns the message in it */
async function refusalOf(url: string, t: TestContext): Promise<string> {
  const daemon = spawnDaemon(await temporaryFolder(t), ["--nats-url", url, "--http-port", "0"]);
  let log = "";
  daemon.stderr?.setEncoding("utf8").on("data", (text) => {
    log += text;
  });
  const [code] = await once(daemon, "close");
  assert.equal(code, 1, log);
  const lines = log
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { level: string; msg: string });
  const worse = lines.filter(({ level }) => ["error", "fatal"].includes(level));
  assert.deepEqual(
    worse.map(({ level }) => level),
    ["fatal"],
    log,
  );
  return worse[0]?.msg ?? "";
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
