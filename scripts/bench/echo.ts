/**
 * The raw limits of what the daemon does, as bare as can be: answers requests on `bench.echo` with their payload, and stores the
 * payload of those on `bench.forward` in a stream before it answers.
 */
import { jetstream } from "@nats-io/jetstream";
import { connect, type Msg } from "@nats-io/transport-node";

const connection = await connect({ servers: process.argv[2] ?? "" });
const stream = jetstream(connection);
connection.subscribe("bench.echo", { queue: "echo", callback: (_, message) => void message.respond(message.data) });
connection.subscribe("bench.forward", {
  queue: "echo",
  callback: (_, message) => void store(message),
});

async function store(message: Msg): Promise<void> {
  const { seq } = await stream.publish("bench.raw", message.data);
  message.respond(JSON.stringify({ seq }));
}

await connection.flush();
process.stdout.write("ready\n");
process.once("SIGTERM", () => connection.close().then(() => process.exit(0)));
