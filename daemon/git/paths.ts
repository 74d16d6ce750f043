/** Which files the repository writes: the layout of DESIGN §5 and its grammar of names. Pure. */
import { CodedError } from "../errors.ts";
import { isCompositionName } from "../names.ts";

const pathGrammar = /^(?:orchestrations\/([^/]+)_decisions(?:\/[0-9]{4,8})?|(?:orchestrations|profiles|components)\/([^/]+))\.yaml$/;

/** Is it one of the folders at the root that hold compositions? */
export const isCompositionFolder = (name: string): boolean => /^(?:orchestrations|profiles|components)$/.test(name);

/** @throws CodedError NAME_INVALID unless the path is one that the repository may write */
export function assertWritablePath(path: string): void {
  const parts = pathGrammar.exec(path);
  if (parts && isCompositionName(parts[1] ?? parts[2] ?? "")) return;
  throw new CodedError("NAME_INVALID", `"${path.slice(0, 200)}" is not a file of a composition`, { path: path.slice(0, 200) });
}
