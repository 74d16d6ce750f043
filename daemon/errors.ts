/**
 * Every error that crosses a boundary: one table of codes, one class.
 *
 * `status` is what a NATS client finds in `Nats-Service-Error-Code`; `retryable` says whether the same request may succeed
 * later without a change. Each code is documented (docs/errors.md) and provoked by a test (test/contract/errors.test.ts).
 */
interface ErrorKind {
  readonly status: 400 | 403 | 404 | 409 | 413 | 422 | 429 | 500 | 503;
  readonly retryable: boolean;
  readonly meaning: string;
}

export const errorTable = {
  // requests
  REQUEST_MALFORMED: { status: 400, retryable: false, meaning: "The payload is not JSON, or not a JSON object." },
  REQUEST_INVALID: {
    status: 400,
    retryable: false,
    meaning: "The payload does not fit the command's input schema; details.issues lists each path.",
  },
  REQUEST_TIMEOUT: { status: 503, retryable: true, meaning: "The command did not finish within its time limit and was cancelled." },
  NAME_INVALID: {
    status: 400,
    retryable: false,
    meaning: "A name breaks its grammar: `domain:action` for commands and events, the file-name grammar for compositions.",
  },
  COMMAND_NOT_FOUND: { status: 404, retryable: false, meaning: "No module answers this command." },
  CAPABILITY_DENIED: { status: 403, retryable: false, meaning: "The caller's capabilities do not cover the target." },
  AGENT_UNKNOWN: { status: 403, retryable: false, meaning: "The header ce-agent names an agent that does not exist or has ended." },
  INTERNAL: { status: 500, retryable: false, meaning: "A defect in the daemon; details.incident is found in its log." },
  SHUTTING_DOWN: { status: 503, retryable: true, meaning: "The daemon is draining; ask again after it restarted." },
  // events
  EVENT_RESERVED: { status: 403, retryable: false, meaning: "Events in a module's domain are emitted by that module alone." },
  EVENT_TOO_LARGE: { status: 413, retryable: false, meaning: "The event exceeds the server's payload limit." },
  EVENT_HOPS_EXCEEDED: { status: 422, retryable: false, meaning: "The causal chain is longer than 8 hops (an event storm)." },
  EVENT_TIME_INVALID: { status: 400, retryable: false, meaning: "`delay` or `at` is not a usable time." },
  EVENT_NOT_FOUND: { status: 404, retryable: false, meaning: "No event with this id is in the log." },
  EVENT_OUTCOME_UNKNOWN: {
    status: 503,
    retryable: true,
    meaning: "The event log did not acknowledge in time; the event may be stored. Repeat with its id (details.id, if it was given one).",
  },
  EVENT_LOG_UNAVAILABLE: {
    status: 503,
    retryable: true,
    meaning: "The event log refuses writes or does not answer (disk full, server gone); nothing was stored.",
  },
  SCHEDULE_NOT_FOUND: { status: 404, retryable: false, meaning: "No pending schedule has this id: it fired, was cancelled, or never was." },
  DEAD_LETTER_NOT_FOUND: { status: 404, retryable: false, meaning: "No dead letter has this id." },
  // expressions
  EXPRESSION_INVALID: { status: 422, retryable: false, meaning: "The JSONata expression does not parse; details.position tells where." },
  EXPRESSION_FAILED: { status: 422, retryable: false, meaning: "The JSONata expression failed while it was evaluated." },
  EXPRESSION_LIMIT: {
    status: 422,
    retryable: false,
    meaning: "The JSONata expression exceeded its limit of time, memory or depth and was stopped.",
  },
  EXPRESSION_BUSY: {
    status: 503,
    retryable: true,
    meaning: "Too many expressions wait to be evaluated, or the evaluator cannot be started.",
  },
  // routing
  ROUTE_NOT_FOUND: { status: 404, retryable: false, meaning: "No routing rule has this id." },
  // compositions
  COMPOSITION_NOT_FOUND: { status: 404, retryable: false, meaning: "No composition has this name, version or commit." },
  COMPOSITION_INVALID: {
    status: 422,
    retryable: false,
    meaning: "The YAML text is not a valid composition; details.issues has line and column.",
  },
  COMPOSITION_UNRELATED: {
    status: 422,
    retryable: false,
    meaning: "The compositions have no common ancestor to merge on; details.reason says why.",
  },
  COMPOSITION_EXISTS: { status: 409, retryable: false, meaning: "There is a composition of this name, of whatever type; choose another." },
  COMPOSITION_STALE: { status: 409, retryable: true, meaning: "The composition changed since `based_on`; read it again." },
  // repository
  REPOSITORY_CONFLICT: {
    status: 409,
    retryable: true,
    meaning: "A file has an uncommitted edit by hand (details.file); commit or discard it.",
  },
  REPOSITORY_UNAVAILABLE: { status: 503, retryable: true, meaning: "The repository refuses writes; details.reason says why." },
  // agents, tools, policies
  AGENT_NOT_FOUND: { status: 404, retryable: false, meaning: "No agent has this id." },
  AGENT_ENDED: { status: 409, retryable: false, meaning: "The agent has ended; details.state says how." },
  AGENT_CANNOT_ANSWER: {
    status: 422,
    retryable: false,
    meaning: "The agent has neither a model nor a rule to answer this message with.",
  },
  AGENT_UNREACHABLE: { status: 503, retryable: true, meaning: "No agent answers at this subject, or it fell silent." },
  APPROVAL_NOT_FOUND: { status: 404, retryable: false, meaning: "No request for approval has this id." },
  APPROVAL_REQUIRED: {
    status: 403,
    retryable: true,
    meaning: "A human has to approve this first; details.approval is the request. Ask again under the same id once it is decided.",
  },
  APPROVAL_DENIED: { status: 403, retryable: false, meaning: "A human denied this, or nobody decided in time; details.state." },
  APPROVAL_DECIDED: { status: 409, retryable: false, meaning: "The request was decided, has expired or was withdrawn; details.state." },
  APPROVAL_MISMATCH: {
    status: 409,
    retryable: false,
    meaning: "The hash is not that of the action: what was shown, or approved, is another.",
  },
  RUN_NOT_FOUND: { status: 404, retryable: false, meaning: "No run has this id." },
  RUN_DELETED: {
    status: 404,
    retryable: false,
    meaning: "The run has ended, and its journal was deleted since (`runs` in reprise.yaml); its events are still in the log.",
  },
  RUN_LIMIT_EXCEEDED: { status: 429, retryable: false, meaning: "A run or agent reached one of its limits; details.limit names it." },
  RUN_ABORTED: { status: 422, retryable: false, meaning: "The pattern gave up with ABORT; the message is its reason." },
  RUN_DIVERGED: {
    status: 409,
    retryable: false,
    meaning: "The journal does not fit the pattern: the interpreter changed since the run began. Start the run again.",
  },
  JUDGEMENT_REQUIRED: {
    status: 422,
    retryable: false,
    meaning: "The pattern marks a judgement point as REQUIRED, and its interpreter has no judgement; details.line.",
  },
  AWAIT_EXPIRED: {
    status: 422,
    retryable: false,
    meaning: "What a pattern waited for did not come in time, or can no longer come.",
  },
  STEP_OUTCOME_UNKNOWN: {
    status: 409,
    retryable: false,
    meaning: "The daemon stopped during a step that must not be done twice; somebody has to see whether it was done.",
  },
  PATTERN_INVALID: { status: 422, retryable: false, meaning: "The pattern cannot be played; details has line and column." },
  TOOL_NOT_FOUND: { status: 404, retryable: false, meaning: "No tool has this name." },
  TOOL_FAILED: { status: 422, retryable: false, meaning: "The tool answered with an error." },
  MODEL_NOT_CONFIGURED: {
    status: 422,
    retryable: false,
    meaning: "The model is not in the section `models` of reprise.yaml, or its key is not in the environment; the message says what to do.",
  },
  MODEL_UNAVAILABLE: {
    status: 503,
    retryable: true,
    meaning: "Neither the model nor its fallbacks answered, after all attempts; details.failures.",
  },
  MODEL_REFUSED: {
    status: 422,
    retryable: false,
    meaning: "The model's provider refuses this request; details.failures tells its reason.",
  },
  MODEL_ANSWER_INVALID: {
    status: 422,
    retryable: false,
    meaning: "The model's answer does not fit the schema, also after it was told so once.",
  },
  DECISION_NOT_FOUND: { status: 404, retryable: false, meaning: "No decision with this id was tracked." },
  DECISION_RESOLVED: { status: 409, retryable: false, meaning: "The decision has its outcome already; it is given once." },
  DECISION_UNKNOWN: { status: 404, retryable: false, meaning: "No selection with this decision_id is remembered." },
  OUTCOME_FOREIGN: {
    status: 403,
    retryable: false,
    meaning: "The selection was made for another caller, who alone may give its outcome.",
  },
  POLICY_UNKNOWN: { status: 404, retryable: false, meaning: "There is no policy, or no checkpoint of one, with this name." },
  POLICY_UNTRAINED: {
    status: 409,
    retryable: false,
    meaning: "The policy has no checkpoint in this slot yet; details has the outcomes so far and those needed.",
  },
  POLICY_NOT_SERVING: {
    status: 409,
    retryable: false,
    meaning: "A trained policy is asked for by name, and another one serves the slot: it has to pass its gate first.",
  },
  TRAINING_INSUFFICIENT: {
    status: 409,
    retryable: false,
    meaning: "The outcomes so far teach the policy nothing, so no checkpoint was made; details says what there is of what it needs.",
  },
  LEARNER_BUSY: { status: 503, retryable: true, meaning: "Too many trainings and evaluations wait already." },
  PROMOTION_REFUSED: {
    status: 409,
    retryable: false,
    meaning: "The evidence does not say that the policy is better than the serving one; details has the figures.",
  },
  SLOT_RESERVED: { status: 403, retryable: false, meaning: "The slot belongs to a module, which alone chooses there." },
  SLOT_FROZEN: { status: 409, retryable: false, meaning: "What serves the slot is frozen; unfreeze it first." },
  ROLLBACK_IMPOSSIBLE: { status: 409, retryable: false, meaning: "No other policy served the slot before." },
  EXPERIMENT_NOT_FOUND: { status: 404, retryable: false, meaning: "No experiment has this name." },
  EXPERIMENT_ENDED: {
    status: 409,
    retryable: false,
    meaning: "The experiment has ended, and gives out no variants; details.state says how.",
  },
  EXPERIMENT_EXISTS: { status: 409, retryable: false, meaning: "An experiment has this name already." },
  POLICY_STATE_INVALID: {
    status: 422,
    retryable: false,
    meaning: "The saved state of a policy is corrupt, not made of finite numbers, or of another policy or feature spec.",
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorTable;

export interface ErrorBody {
  error: { code: string; message: string; details: Record<string, unknown>; retryable: boolean };
}

const largestDetails = 16 * 1024;
const longestMessage = 1_000;
const cut = (text: string): string => (text.length > longestMessage ? `${text.slice(0, longestMessage)}…` : text);

/** An error with a code of the table. Throw it anywhere; the edge turns it into an error reply. */
export class CodedError extends Error {
  override readonly name = "CodedError";
  readonly code: ErrorCode;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return errorTable[this.code].status;
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }

  /** The body of an error reply. What the caller sent may stand in it, so it is cut to a size that fits any reply. */
  toBody(): ErrorBody {
    const details = JSON.stringify(this.details).length > largestDetails ? { omitted: "too large" } : this.details;
    return { error: { code: this.code, message: cut(this.message), details, retryable: this.retryable } };
  }

  /** One line for a header. */
  toHeader(): string {
    return this.message.replaceAll(/[^\x20-\x7e]+/g, " ").slice(0, longestMessage);
  }
}
