/** A process that holds an embedded server, for tests that kill it: `<binary> <directory>`; prints `{url, pid}` when ready. */
import pino from "pino";
import { startEmbeddedServer } from "../../daemon/nats/embedded-server.ts";
import { subjectsFor } from "../../daemon/nats/subjects.ts";

const [binary = "", directory = ""] = process.argv.slice(2);
const server = await startEmbeddedServer({
  binary,
  directory,
  port: 0,
  subjects: subjectsFor(),
  modules: [],
  log: pino({ level: "silent" }),
  signal: new AbortController().signal,
});
console.log(JSON.stringify({ url: server.url, pid: server.pid }));
