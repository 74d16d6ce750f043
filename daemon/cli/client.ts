/** A client of the daemon over plain NATS: what anyone else could do with any NATS client. */
import { connect, type Msg, type NatsConnection, NoRespondersError, RequestError, TimeoutError } from "@nats-io/transport-node";
import { decodeEvent, type UnstoredEvent } from "../events/envelope.ts";
import { isName } from "../names.ts";
import { type Subjects, subjectsFor } from "../nats/subjects.ts";
import { suggest } from "../suggestion.ts";
import type { Place } from "./locate.ts";

export interface ErrorReply {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryable: boolean;
}

/** The command answered with an error. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly reply: ErrorReply;

  constructor(reply: ErrorReply) {
    super(`${reply.code}: ${reply.message}`);
    this.reply = reply;
  }
}

/** No server, or no daemon on it. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

/** The longest deadline of a command, and some. */
const requestMilliseconds = 180_000;

export class Client implements AsyncDisposable {
  readonly #connection: NatsConnection;
  readonly #subjects: Subjects;
  readonly url: string;

  private constructor(connection: NatsConnection, subjects: Subjects, url: string) {
    this.#connection = connection;
    this.#subjects = subjects;
    this.url = url;
  }

  /** @throws ConnectionError */
  static async connect({ url, data, prefix, isDefault }: Place): Promise<Client> {
    if (url === undefined) throw new ConnectionError(`No daemon runs on ${data}. Start it with: npm start`);
    const { username, password, protocol, host } = new URL(url);
    const credentials = username === "" ? {} : { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
    try {
      const connection = await connect({
        servers: host,
        name: "reprise command line",
        maxReconnectAttempts: 5,
        ...credentials,
        ...(protocol === "tls:" && { tls: {} }),
      });
      return new Client(connection, subjectsFor(prefix), `${protocol}//${host}`);
    } catch (cause) {
      const hint = isDefault ? " Start the daemon with: npm start" : "";
      throw new ConnectionError(`No NATS server answers at ${protocol}//${host}: ${(cause as Error).message}.${hint}`, { cause });
    }
  }

  /** @throws CommandError, ConnectionError */
  async call<Result = unknown>(command: string, input: unknown): Promise<Result> {
    const reply = await this.#request(command, JSON.stringify(input));
    const body: unknown = reply.data.length === 0 ? undefined : reply.json();
    if (reply.headers?.has("Nats-Service-Error-Code") === true) throw new CommandError((body as { error: ErrorReply }).error);
    return body as Result;
  }

  /** Events that are emitted from now on; ends with the signal, or with the connection. */
  async *events(pattern: string, signal: AbortSignal): AsyncGenerator<UnstoredEvent> {
    const subscription = this.#connection.subscribe(this.#subjects.event(pattern));
    const stop = () => subscription.unsubscribe();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    try {
      for await (const message of subscription) {
        const event = decodeEvent(message.headers, message.data, 0);
        if (event === undefined) continue;
        const { seq: _unknown, ...unstored } = event;
        yield unstored;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      stop();
    }
  }

  /** Resolves once the server has seen everything that was asked of it, such as subscriptions. */
  async flush(): Promise<void> {
    await this.#connection.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }

  async #request(command: string, payload: string): Promise<Msg> {
    try {
      return await this.#connection.request(this.#subjects.command(command), payload, { timeout: requestMilliseconds });
    } catch (error) {
      const reason = error instanceof RequestError && error.isNoResponders() ? new NoRespondersError(command) : error;
      if (reason instanceof NoRespondersError) throw await this.#nobodyAnswers(command);
      if (reason instanceof TimeoutError) throw new ConnectionError(`${command} was not answered within ${requestMilliseconds / 1_000} s.`);
      throw new ConnectionError(`${command} could not be sent: ${(reason as Error).message}`, { cause: reason });
    }
  }

  /** Without a daemon nothing answers; with one, the command does not exist. */
  async #nobodyAnswers(command: string): Promise<Error> {
    const commands = await this.#commands();
    if (commands.length === 0) return new ConnectionError(`There is a NATS server at ${this.url}, but no daemon answers on it.`);
    const suggestion = suggest(command, commands);
    const message = `no module answers ${command}${suggestion === undefined ? "" : `; did you mean ${suggestion}?`}`;
    return new CommandError({ code: "COMMAND_NOT_FOUND", message, details: { command }, retryable: false });
  }

  /** The commands of the daemon, under the prefix in use. */
  async #commands(): Promise<string[]> {
    try {
      const reply = await this.#connection.request("$SRV.INFO.reprise", "", { timeout: 2_000 });
      const prefix = this.#subjects.prefix;
      const subjects = reply.json<{ endpoints: { subject: string }[] }>().endpoints.map(({ subject }) => subject);
      return subjects
        .filter((subject) => subject.startsWith(prefix))
        .map((subject) => subject.slice(prefix.length))
        .filter(isName);
    } catch {
      return [];
    }
  }
}
