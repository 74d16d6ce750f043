/** Answers every request on `bench.echo` with its payload: the raw limit of a request. */
import { connect } from "@nats-io/transport-node";

const connection = await connect({ servers: process.argv[2] ?? "" });
connection.subscribe("bench.echo", { queue: "echo", callback: (_, message) => void message.respond(message.data) });
await connection.flush();
process.stdout.write("ready\n");
process.once("SIGTERM", () => connection.close().then(() => process.exit(0)));
