/** What went wrong in an attempt to ask a model, and what follows from it. */
import { CodedError } from "../../daemon/errors.ts";

/**
 * - passing: the provider is overloaded, unreachable or answered with rubbish; ask again.
 * - refused: it will not answer this request; asking it again is of no use, another model may.
 * - unconfigured: it was not asked, since its key is not there.
 */
export interface Failure {
  readonly kind: "passing" | "refused" | "unconfigured";
  readonly message: string;
  /** HTTP status. */
  readonly status?: number;
  /** Milliseconds that the provider asked us to wait. */
  readonly retryAfter?: number;
}

const kinds: readonly string[] = ["passing", "refused", "unconfigured"] satisfies Failure["kind"][];

export const isFailure = (outcome: { readonly kind: string }): outcome is Failure => kinds.includes(outcome.kind);

/** The parts of the AI SDK's APICallError that are used; it is known by its shape, since its class is loaded late. */
interface ApiCallError extends Error {
  readonly statusCode?: number;
  readonly responseHeaders?: Readonly<Record<string, string>>;
}

/** @param key is struck out of the provider's words, which sometimes repeat it */
export function failureOf(error: unknown, key: string | undefined): Failure {
  const message = clean(error instanceof Error ? error.message : String(error), key);
  const { statusCode: status, responseHeaders } = (error ?? {}) as ApiCallError;
  // Without a status there was no answer, or one that is no answer of a model.
  const isRefused = status !== undefined && status >= 400 && status < 500 && ![408, 409, 425, 429].includes(status);
  const retryAfter = retryAfterOf(responseHeaders);
  return {
    kind: isRefused ? "refused" : "passing",
    message,
    ...(status !== undefined && { status }),
    ...(retryAfter !== undefined && { retryAfter }),
  };
}

/** RFC 9110, 10.2.3: seconds, or a date; some providers give milliseconds beside. */
function retryAfterOf(headers: Readonly<Record<string, string>> = {}): number | undefined {
  const { "retry-after": value, "retry-after-ms": exact } = headers;
  const milliseconds = exact !== undefined ? Number(exact) : value !== undefined ? Number(value) * 1000 : Number.NaN;
  if (Number.isFinite(milliseconds)) return Math.max(0, milliseconds);
  const date = Date.parse(value ?? "");
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

const clean = (message: string, key: string | undefined): string =>
  (key ? message.replaceAll(key, "…") : message).replaceAll(/\s+/g, " ").slice(0, 300);

/** The error that the caller gets when no model answered. */
export function modelError(failures: readonly (Failure & { readonly model: string })[]): CodedError {
  const kinds = new Set(failures.map(({ kind }) => kind));
  const code = kinds.has("passing") ? "MODEL_UNAVAILABLE" : kinds.has("refused") ? "MODEL_REFUSED" : "MODEL_NOT_CONFIGURED";
  const asked = [...new Set(failures.map(({ model }) => model))].join(", ");
  const last = failures.at(-1) as Failure;
  const reason = last.status === undefined ? last.message : `${last.status}: ${last.message}`;
  return new CodedError(code, `No answer from ${asked}: ${reason}`, {
    failures: failures.map(({ model, message, status }) => ({ model, message, ...(status !== undefined && { status }) })),
  });
}
