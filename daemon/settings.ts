/** The settings of the daemon: one table that yields flags, environment variables, keys of `reprise.yaml`, checks and help. Pure. */
import { z } from "zod";

const port = z
  .string()
  .regex(/^\d{1,5}$/)
  .transform(Number)
  .refine((value) => value <= 65_535);

const natsAddress = z.string().refine((text) => {
  const address = URL.parse(text);
  return address !== null && ["nats:", "tls:"].includes(address.protocol) && address.hostname !== "";
});

interface Setting<Schema extends z.ZodType<unknown, string> = z.ZodType<unknown, string>> {
  /** Turns the text that a user wrote into the value. */
  readonly schema: Schema;
  /** What the text should be, for error messages. */
  readonly expected: string;
  readonly placeholder: string;
  readonly description: string;
}

/** In the order of the help text. */
export const settings = {
  data: {
    schema: z.string().min(1),
    expected: "a folder",
    placeholder: "DIR",
    description: "folder of all data (default .reprise)",
  },
  "nats-url": {
    schema: natsAddress,
    expected: "an address such as nats://127.0.0.1:4222",
    placeholder: "URL",
    description: "use this NATS server instead of starting one",
  },
  "nats-port": {
    schema: port,
    expected: "a port from 0 to 65535",
    placeholder: "N",
    description: "port of the NATS server that is started (default 4222, 0 = any free)",
  },
  "http-port": {
    schema: port,
    expected: "a port from 0 to 65535",
    placeholder: "N",
    description: "port of /healthz and /metrics (default 4280, 0 = any free)",
  },
  prefix: {
    schema: z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/),
    expected: "lower case letters, digits, _ and -, at most 32, starting with a letter",
    placeholder: "P",
    description: "put all subjects and streams under this name, to share a server",
  },
  "log-level": {
    schema: z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]),
    expected: "one of fatal, error, warn, info, debug, trace, silent",
    placeholder: "L",
    description: "least severe level that is logged (default info)",
  },
  compositions: {
    schema: z.string().min(1),
    expected: "a folder",
    placeholder: "DIR",
    description: "git repository of patterns and decisions (default <data>/compositions)",
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settings;
export const settingNames = Object.keys(settings) as SettingName[];
/** The value of a setting, once parsed. */
export type SettingValue<Name extends SettingName> = z.output<(typeof settings)[Name]["schema"]>;

export const variableOf = (name: SettingName): string => `REPRISE_${name.toUpperCase().replaceAll("-", "_")}`;

export function helpText(): string {
  const rows: [string, string][] = settingNames.map((name) => [
    `--${name} ${settings[name].placeholder}`,
    `${settings[name].description}; ${variableOf(name)}`,
  ]);
  rows.push(["--help", "show this text"], ["--version", "show the version"]);
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
  return [
    "Usage: npm start -- [options]",
    "",
    "Runs the Reprise daemon. Options, each also as the environment variable named, or in ./reprise.yaml without the dashes;",
    "a flag wins over the environment, the environment over the file.",
    "",
    ...lines,
    "",
  ].join("\n");
}
