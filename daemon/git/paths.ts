/** Which files the repository writes: the layout of DESIGN §5 and its grammar of names. Pure. */
import { CodedError } from "../errors.ts";

const nameGrammar = /^[a-z0-9][a-z0-9_.-]{0,63}$/;
const deviceNames = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/;
const pathGrammar = /^(?:(?:orchestrations|profiles|components)\/([^/]+)|orchestrations\/([^/]+)_decisions(?:\/[0-9]{4,8})?)\.yaml$/;

/** A name that is safe as a file name on every system: the grammar, no `..`, no trailing dot, no `.lock`, no device name. */
export const isFileName = (name: string): boolean =>
  nameGrammar.test(name) && !name.includes("..") && !name.endsWith(".") && !name.endsWith(".lock") && !deviceNames.test(name);

/** @throws CodedError NAME_INVALID unless the path is one that the repository may write */
export function assertWritablePath(path: string): void {
  const parts = pathGrammar.exec(path);
  if (parts && [parts[1], parts[2]].some((name) => name !== undefined && isFileName(name))) return;
  throw new CodedError("NAME_INVALID", `"${path.slice(0, 200)}" is not a file of a composition`, { path: path.slice(0, 200) });
}
