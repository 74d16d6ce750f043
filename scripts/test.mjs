/**
 * `npm test [-- [--soak] [paths and options]]`: sets the checkout up and runs the tests.
 * A path is a file or a folder; without one, all tests run. Options are those of `node --test`.
 * `--soak` adds the `*.soak.ts` files and the long forms of tests (REPRISE_SOAK=1).
 */
import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { launch } from "./launch.mjs";
import { root } from "./setup.mjs";

const given = process.argv.slice(2);
const soak = given.includes("--soak");
const options = given.filter((argument) => argument.startsWith("-") && argument !== "--soak");
const paths = given.filter((argument) => !argument.startsWith("-"));
const kinds = soak ? ["test", "soak"] : ["test"];
const isFolder = (path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
const filesOf = (path) => (isFolder(path) ? kinds.map((kind) => join(path, "**", `*.${kind}.ts`)) : [path]);

// A test that hangs fails, and the others are run all the same.
const longest = 600_000; // milliseconds, of a file

// Tests wait for servers more than they compute: at least two files at a time, also on two cores.
const concurrency = Math.max(2, availableParallelism() - 1);
await launch(
  [
    "--test",
    "--test-reporter=spec",
    `--test-concurrency=${concurrency}`,
    ...(soak ? [] : [`--test-timeout=${longest}`]),
    ...options,
    ...(paths.length > 0 ? paths : [relative(process.cwd(), join(root, "test"))]).flatMap(filesOf),
  ],
  soak ? { REPRISE_SOAK: "1" } : {},
);
