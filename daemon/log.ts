/** The daemon's log: JSON lines on stderr, readable ones when stderr is a terminal. */
import pino, { type Logger, stdSerializers } from "pino";

const secretName = /^(authorization|cookie|credentials|api[-_]?key|.*(password|passwd|secret|token|private[-_]?key))$/i;
const counted = /tokens$/i;
const maximumDepth = 6;

/**
 * The root logger; a module gets `log.child({ module: name })`.
 *
 * In the object that is logged, values under a key that names a secret (`password`, `apiKey`, `authorization`, `…token`), and the
 * credentials in any URL, are replaced by "[redacted]" at every depth. Message texts are fixed, so nothing is looked for in them.
 * @param destination where lines go instead of stderr, for tests
 */
export async function createLog(level: string, destination?: pino.DestinationStream): Promise<Logger> {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }), log: (fields) => redactedFields(fields, 0) },
    serializers: { error: redactedError, err: redactedError },
  };
  if (destination !== undefined) return pino(options, destination);
  if (!process.stderr.isTTY) return pino(options, pino.destination({ fd: 2, sync: true }));
  const { default: pretty } = await import("pino-pretty");
  return pino(
    options,
    pretty({ destination: 2, sync: true, ignore: "module", messageFormat: "{module} {msg}", errorLikeObjectKeys: ["error"] }),
  );
}

const redactedError = (error: unknown): unknown => redactedValue(stdSerializers.err(error as Error), 0);

/** pino's own redaction needs exact paths, and a wildcard in them covers one level only. */
function redactedFields(fields: object, depth: number): Record<string, unknown> {
  const entries = Object.entries(fields).map(([key, value]) => {
    const secret = secretName.test(key) && !counted.test(key) && value !== undefined && value !== null;
    return [key, secret ? "[redacted]" : redactedValue(value, depth)] as const;
  });
  return Object.fromEntries(entries);
}

function redactedValue(value: unknown, depth: number): unknown {
  if (typeof value === "string")
    return value.includes("@") ? value.replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi, "$1[redacted]@") : value;
  if (typeof value !== "object" || value === null || value instanceof Error) return value;
  if (depth >= maximumDepth) return "[deep]";
  if (Array.isArray(value)) return value.map((item) => redactedValue(item, depth + 1));
  return "toJSON" in value ? value : redactedFields(value, depth + 1);
}
