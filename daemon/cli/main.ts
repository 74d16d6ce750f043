/**
 * The command line: a client of the daemon over NATS.
 *
 * Exit codes: 0 done; 1 the command answered with an error; 2 wrong usage, or no connection.
 */
import { parseArgs } from "node:util";
import { ConfigError } from "../config.ts";
import { isName, isPattern } from "../names.ts";
import { settings } from "../settings.ts";
import { suggest } from "../suggestion.ts";
import type { Client } from "./client.ts";
import { locateDaemon, type Place } from "./locate.ts";
import { UsageError } from "./usage-error.ts";

export interface Invocation {
  readonly positionals: readonly string[];
  readonly place: Place;
  readonly json: boolean;
}

interface Verb {
  readonly usage: string;
  readonly description: string;
  /** How many arguments it takes, least and most. */
  readonly arity: readonly [least: number, most: number];
  run(invocation: Invocation): Promise<void>;
}

class Interruption extends Error {}

/** For verbs that have something to clean up: aborted by the first Ctrl-C or SIGTERM. The second one ends the process. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  const interrupt = () => controller.abort(new Interruption());
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  return controller.signal;
}

const verbs: Readonly<Record<string, Verb>> = {
  call: {
    usage: "call <command> [json]",
    description: "call any command and print its reply",
    arity: [1, 2],
    run: async ({ positionals: [command = "", text], place, json }) => {
      if (!isName(command))
        throw new UsageError(`"${command}" is not the name of a command, such as event:emit; system:commands lists them`);
      const input = parseJson(text);
      await using client = await connect(place);
      print(await client.call(command, input), json);
    },
  },
  emit: {
    usage: "emit <event> [json]",
    description: "emit an event, or a command, with this data",
    arity: [1, 2],
    run: async ({ positionals: [event, text], place, json }) => {
      const data = parseJson(text);
      await using client = await connect(place);
      print(await client.call("event:emit", { event, data }), json);
    },
  },
  tail: {
    usage: "tail [pattern]",
    description: "print events as they are emitted, until Ctrl-C; patterns as in monitoring:*",
    arity: [0, 1],
    run: async ({ positionals: [pattern = "*"], place, json }) => {
      if (!isPattern(pattern)) throw new UsageError(`"${pattern}" is not a pattern over events, such as monitoring:* or *`);
      await using client = await connect(place);
      for await (const event of client.events(pattern, interruption())) {
        const { time, type, data } = event;
        process.stdout.write(json ? `${JSON.stringify(event)}\n` : `${time} ${type} ${JSON.stringify(data)}\n`);
      }
    },
  },
  why: {
    usage: "why <decision|choice|run>",
    description: "tell why something was decided: options, odds, reason, outcome, and the commit that records it",
    arity: [1, 1],
    run: async ({ positionals: [id = ""], place, json }) => {
      const { runWhy } = await import("./why.ts");
      await runWhy({ id, place, json });
    },
  },
  demo: {
    usage: "demo [DIR]",
    description: "learn how to compress the files below DIR (default: the current folder)",
    arity: [0, 1],
    run: async ({ positionals: [directory = "."], place, json }) => {
      const { runDemo } = await import("./demo.ts");
      await runDemo({ directory, place, json, signal: interruption() });
    },
  },
  help: {
    usage: "help",
    description: "show this text",
    arity: [0, 0],
    run: async () => void process.stdout.write(helpText()),
  },
};

async function main(argv: readonly string[]): Promise<number> {
  process.stdout.on("error", () => process.exit(0)); // The reader of a pipe has had enough.
  let json = false;
  try {
    const { values, positionals } = parse(argv);
    json = values.json;
    const [name = "help", ...rest] = values.help ? [] : positionals;
    const verb = verbOf(name);
    if (rest.length < verb.arity[0] || rest.length > verb.arity[1]) throw new UsageError(`Usage: reprise ${verb.usage}`);
    const place = locateDaemon(values.url, process.env, process.cwd());
    await verb.run({ positionals: rest, place, json });
    return 0;
  } catch (error) {
    if (error instanceof Interruption) return 130;
    return await report(error, json);
  }
}

function parse(argv: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { url: { type: "string" }, json: { type: "boolean", default: false }, help: { type: "boolean", default: false } },
    });
    const { schema, expected } = settings["nats-url"];
    if (values.url !== undefined && !schema.safeParse(values.url).success) throw new UsageError(`--url expects ${expected}.`);
    return { values, positionals };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError((error as Error).message);
  }
}

function verbOf(name: string): Verb {
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (verb !== undefined) return verb;
  const suggestion = suggest(name, Object.keys(verbs));
  throw new UsageError(`Unknown verb "${name}"${suggestion === undefined ? "" : `; did you mean ${suggestion}`}? Try: reprise help`);
}

async function connect(place: Place): Promise<Client> {
  const { Client } = await import("./client.ts");
  return Client.connect(place);
}

function parseJson(text: string | undefined): unknown {
  if (text === undefined) return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`The argument is not JSON: ${(error as Error).message}`);
  }
}

const print = (value: unknown, json: boolean) => void process.stdout.write(`${JSON.stringify(value, null, json ? undefined : 2)}\n`);

async function report(error: unknown, json: boolean): Promise<number> {
  if (error instanceof UsageError || error instanceof ConfigError) {
    process.stderr.write(`reprise: ${error.message}\n`);
    return 2;
  }
  const { CommandError, ConnectionError } = await import("./client.ts");
  if (error instanceof CommandError) {
    if (json) print({ error: error.reply }, json);
    else process.stderr.write(`reprise: ${error.message}\n`);
    return 1;
  }
  if (!(error instanceof ConnectionError)) throw error;
  process.stderr.write(`reprise: ${error.message}\n`);
  return 2;
}

function helpText(): string {
  const rows = Object.values(verbs).map(({ usage, description }) => [usage, description] as const);
  const options = [
    ["--url URL", "NATS server (default: REPRISE_NATS_URL, else the daemon of .reprise/ here, else nats://127.0.0.1:4222)"],
    ["--json", "print JSON, one value a line"],
  ] as const;
  const width = Math.max(...[...rows, ...options].map(([left]) => left.length));
  const lines = (list: readonly (readonly [string, string])[]) =>
    list.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join("");
  return `Usage: reprise <verb> [options]\n\n${lines(rows)}\nOptions:\n${lines(options)}\nExit codes: 0 done, 1 the command answered with an error, 2 wrong usage or no connection.\n`;
}

process.exitCode = await main(process.argv.slice(2));
