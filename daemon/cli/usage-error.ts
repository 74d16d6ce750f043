/** The command line was used wrongly; the message says how. Ends it with exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
