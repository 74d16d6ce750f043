import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import { before, describe, it, test } from "node:test";
import { projectFolder } from "../../daemon/project.ts";
import { temporaryFolder } from "../harness/git.ts";

/** What modules may import of the daemon: files without I/O. */
const pureFiles = [
  "daemon/events/contract.ts",
  "daemon/events/message-ids.ts",
  "daemon/module.ts",
  "daemon/errors.ts",
  "daemon/names.ts",
  "daemon/parse-input.ts",
  "daemon/suggestion.ts",
  "daemon/capabilities.ts",
  "daemon/yaml.ts",
  "daemon/retry.ts",
  "daemon/fence.ts",
  "daemon/leases.ts",
  "daemon/unless-aborted.ts",
];
/** Waiting touches nothing outside the process. */
const withoutEffect = ["node:timers/promises"];
const wirePackages = /^(?:@nats-io\/|isomorphic-git$)/;
/** Text of the daemon's own subjects, or of JetStream's. */
const subjectText = /["'`](?:event|run|schedule|dead)\.[a-z*>$]|["'`]\$(?:JS|KV|O)\./;
/** permissions.ts lists the requests of JetStream itself that clients may not make. */
const subjectFiles = ["daemon/nats/subjects.ts", "daemon/nats/permissions.ts"];

interface SourceFile {
  /** From the project's folder, with slashes. */
  readonly path: string;
  /** Without comments. */
  readonly code: string;
  /** A path in the project, or a package's name. */
  readonly imports: readonly string[];
}

type Rule = (file: SourceFile) => string[];

const isOf = (folder: string, { path }: Pick<SourceFile, "path">): boolean => path.startsWith(`${folder}/`);
/** `modules/x.ts` and `modules/x/y.ts` are both of the module x. */
const moduleOf = (path: string): string | undefined => /^modules\/([^/.]+)/.exec(path)?.[1];

const rules: Record<string, Rule> = {
  "modules import only the daemon's pure files": (file) =>
    isOf("modules", file) ? file.imports.filter((target) => /^(?:daemon|scripts|test)\//.test(target) && !pureFiles.includes(target)) : [],
  "no module imports another": (file) =>
    isOf("modules", file) ? file.imports.filter((target) => target.startsWith("modules/") && moduleOf(target) !== moduleOf(file.path)) : [],
  "the daemon imports no module": (file) => (isOf("daemon", file) ? file.imports.filter((target) => target.startsWith("modules/")) : []),
  "NATS and git are touched by the daemon alone": (file) =>
    isOf("modules", file) ? file.imports.filter((target) => wirePackages.test(target)) : [],
  "pure files do no I/O": (file) =>
    pureFiles.includes(file.path)
      ? file.imports.filter(
          (target) => /^(?:node:|@nats-io\/|isomorphic-git$|daemon\/)/.test(target) && ![...pureFiles, ...withoutEffect].includes(target),
        )
      : [],
  "subjects are built in daemon/nats/subjects.ts": (file) =>
    subjectFiles.includes(file.path) ? [] : file.code.split("\n").filter((line) => subjectText.test(line)),
};

/** One violation of each rule, as a file to add or to replace. */
const violations: Record<keyof typeof rules, { path: string; text: string }> = {
  "modules import only the daemon's pure files": { path: "modules/planted.ts", text: 'import { Router } from "../daemon/router.ts";' },
  "no module imports another": { path: "modules/tool/planted.ts", text: 'export { default } from "../routing.ts";' },
  "the daemon imports no module": {
    path: "daemon/planted.ts",
    text: 'const { default: tool } = await import("../modules/tool/index.ts");',
  },
  "NATS and git are touched by the daemon alone": {
    path: "modules/planted/index.ts",
    text: 'import { connect } from "@nats-io/transport-node";',
  },
  "pure files do no I/O": { path: "daemon/names.ts", text: 'import "node:fs";' },
  "subjects are built in daemon/nats/subjects.ts": { path: "daemon/events/planted.ts", text: 'const subject = "event.a.*";' },
};

async function readSources(root: string): Promise<SourceFile[]> {
  const files = await Promise.all(
    ["daemon", "modules"].map(async (folder) =>
      (await readdir(join(root, folder), { recursive: true }))
        .filter((file) => /\.(?:ts|mjs)$/.test(file))
        .map((file) => posix.join(folder, file)),
    ),
  );
  return Promise.all(
    files.flat().map(async (path) => {
      const code = (await readFile(join(root, path), "utf8")).replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, "");
      const specifiers = [...code.matchAll(/\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g)].map(([, specifier = ""]) => specifier);
      return { path, code, imports: specifiers.map((specifier) => resolve(path, specifier)) };
    }),
  );
}

const resolve = (from: string, specifier: string): string =>
  specifier.startsWith(".") ? posix.join(posix.dirname(from), specifier) : specifier;

describe("boundaries", () => {
  let sources: SourceFile[];
  before(async () => {
    sources = await readSources(projectFolder);
    for (const path of [...pureFiles, ...subjectFiles, "modules/event.ts", "modules/tool/index.ts"]) {
      assert.ok(
        sources.some((source) => source.path === path),
        `${path} was not found`,
      );
    }
    assert.ok(sources.flatMap(({ imports }) => imports).includes("daemon/module.ts"));
  });

  for (const [name, rule] of Object.entries(rules)) {
    it(name, () => {
      const found = sources.flatMap((file) => rule(file).map((what) => `${file.path}: ${what}`));
      assert.deepEqual(found, []);
    });
  }
});

test("a planted violation of each rule is found", async (t) => {
  const copy = await temporaryFolder(t);
  for (const folder of ["daemon", "modules"]) await cp(join(projectFolder, folder), join(copy, folder), { recursive: true });
  for (const [name, { path, text }] of Object.entries(violations)) {
    const file = join(copy, path);
    const original = await readFile(file, "utf8").catch(() => undefined);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `${text}\n${original ?? ""}`);
    const sources = await readSources(copy);
    const found = sources.filter((source) => rules[name]?.(source).length);
    assert.deepEqual(
      found.map((source) => source.path),
      [path],
      name,
    );
    if (original === undefined) await rm(file);
    else await writeFile(file, original);
  }
});
