/** Every command that the documentation shows can be copied and run: each page in order, on a daemon of its own. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { projectFolder } from "../../daemon/project.ts";
import { startTestDaemon } from "../harness/daemon.ts";
import { temporaryFolder } from "../harness/git.ts";

/** They have tests of their own, or need what is no part of the project. */
const elsewhere = /^(?:npm (?:start|test)|npx reprise demo|nats req)\b/;
const commandLine = join(projectFolder, "daemon", "cli", "main.ts");

interface Page {
  readonly path: string;
  readonly text: string;
}

const pages = await Promise.all(
  [
    "README.md",
    ...(await readdir(join(projectFolder, "docs"))).filter((file) => file.endsWith(".md")).map((file) => join("docs", file)),
  ].map(async (path): Promise<Page> => ({ path, text: await readFile(join(projectFolder, path), "utf8") })),
);

const fenced = ({ text }: Page, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(([, block = ""]) => block);

/** The commands of a block, without the remarks behind them; one goes on where a quotation or a here-document is open. */
function commandsIn(block: string): string[] {
  const commands: string[] = [];
  let open = "";
  for (const line of block.split("\n")) {
    open += `${open === "" ? line.replace(/ {2,}# .*$/, "") : line}\n`;
    const [, end] = /<<'(\w+)'/.exec(open) ?? [];
    const isWhole = end === undefined ? open.split("'").length % 2 === 1 : open.endsWith(`\n${end}\n`);
    if (!isWhole) continue;
    if (open.trim() !== "") commands.push(open.trim());
    open = "";
  }
  assert.equal(open, "", `a command that does not end: ${open}`);
  return commands;
}

/** Puts what earlier replies said in the place of words such as RUN_ID, which is `run_id` there or else `id`. */
function fillIn(command: string, told: ReadonlyMap<string, string>): string {
  return command.replaceAll(/\b(?:[A-Z]+_ID|HASH)\b/g, (word) => {
    const value = told.get(word.toLowerCase()) ?? told.get("id");
    assert.ok(value !== undefined, `no reply says what ${word} is in: ${command}`);
    return value;
  });
}

function note(value: unknown, told: Map<string, string>): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, field] of Object.entries(value)) {
    if (typeof field === "string") told.set(key, field);
    else note(field, told);
  }
}

/** A shell's working folder and the environment of somebody who has just cloned the project. */
async function newcomer(t: TestContext) {
  const daemon = await startTestDaemon();
  t.after(() => daemon[Symbol.asyncDispose]());
  const folder = await temporaryFolder(t);
  await symlink(daemon.config.data, join(folder, ".reprise"));
  await symlink(join(projectFolder, "node_modules"), join(folder, "node_modules"));
  const person = {
    GIT_AUTHOR_NAME: "Ada",
    GIT_AUTHOR_EMAIL: "ada@localhost",
    GIT_COMMITTER_NAME: "Ada",
    GIT_COMMITTER_EMAIL: "ada@localhost",
  };
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("REPRISE_"));
  const env = { ...Object.fromEntries(inherited), ...person, GIT_PAGER: "cat", REPRISE_NATS_URL: daemon.daemon.natsUrl };
  return { daemon, folder, env };
}

/** In bash, with `npx reprise` as this checkout has it. */
const script = (command: string) =>
  `set -euo pipefail\nnpx() { shift; ${JSON.stringify(process.execPath)} --disable-warning=ExperimentalWarning ${JSON.stringify(commandLine)} "$@"; }\n${command}`;

const commandsOf = (page: Page): string[] => fenced(page, "sh").flatMap(commandsIn);

test("the documentation shows commands, and none has a gap where a value belongs", () => {
  const commands = pages.flatMap(commandsOf);
  assert.ok(commands.length > 30, `${commands.length} commands`);
  assert.deepEqual(
    commands.filter((command) => command.includes("…")),
    [],
  );
});

for (const page of pages) {
  const commands = commandsOf(page);
  if (commands.every((command) => elsewhere.test(command))) continue;
  test(`the commands of ${page.path} run in the order in which they stand`, { timeout: 240_000 }, async (t) => {
    const { folder, env } = await newcomer(t);
    for (const yaml of fenced(page, "yaml")) {
      const [, name] = /^name: (\w+)$/m.exec(yaml) ?? [];
      if (name !== undefined) await writeFile(join(folder, `${name}.yaml`), yaml);
    }
    const told = new Map<string, string>();
    const watching: ChildProcess[] = [];
    let cwd = folder;
    for (const shown of commands.filter((command) => !elsewhere.test(command))) {
      const command = fillIn(shown, told);
      if (command.startsWith("cd ")) {
        cwd = join(cwd, command.slice(3));
      } else if (command.startsWith("npx reprise tail")) {
        const [, , ...argv] = command.replaceAll("'", "").split(" ");
        watching.push(spawn(process.execPath, [commandLine, ...argv], { cwd, env, stdio: "ignore" }));
      } else {
        const { stdout } = await promisify(execFile)("bash", ["-c", script(command)], { cwd, env }).catch((error) =>
          assert.fail(`${command}\n${error.stderr}`),
        );
        if (stdout.startsWith("{")) note(JSON.parse(stdout), told);
      }
    }
    for (const child of watching) {
      child.kill("SIGINT");
      assert.deepEqual(await once(child, "exit"), [0, null]);
    }
  });
}

test("the first program of README.md runs as it stands", async (t) => {
  const { daemon, folder, env } = await newcomer(t);
  const [page] = pages.filter(({ path }) => path === "README.md");
  const [program = ""] = fenced(page as Page, "js");
  await writeFile(join(folder, "first.mjs"), program.replace("127.0.0.1:4222", new URL(daemon.daemon.natsUrl).host));
  const { stdout } = await promisify(execFile)(process.execPath, ["first.mjs"], { cwd: folder, env });
  assert.match(stdout, /status: ('|")emitted/);
  assert.match(stdout, /^event\.monitoring\.alert /m);
});
