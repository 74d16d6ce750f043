/** What an error has to be, for assert.rejects() and assert.throws(). */
import { CodedError, type ErrorCode } from "../../daemon/errors.ts";

export const failsWith =
  (code: ErrorCode, message = /./) =>
  (error: unknown): boolean =>
    error instanceof CodedError && error.code === code && message.test(error.message);
