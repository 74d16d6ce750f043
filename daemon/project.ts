/** Where the project's own files are, and which version they are. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const projectFolder = join(import.meta.dirname, "..");

const manifest: { version: string } = JSON.parse(readFileSync(join(projectFolder, "package.json"), "utf8"));
export const packageVersion = manifest.version;
