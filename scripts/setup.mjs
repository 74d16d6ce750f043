/**
 * Makes a fresh checkout ready to run: the packages of package-lock.json, and a Node that runs TypeScript.
 *
 * Plain JavaScript for Node 20 that needs nothing installed. It writes inside the checkout only: `node_modules` and `.cache`.
 * When all is there it costs two file reads; otherwise one process installs while others wait for it.
 */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withLock } from "./lock.mjs";

/** The checkout. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** The project's own cache, safe to delete while nothing runs. */
export const cache = join(root, ".cache");

const nodeVersion = "24.21.0";
const nodePlatforms = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"];
const modules = join(root, "node_modules");
/** Holds the hash of the package-lock.json that was installed completely. */
const marker = join(modules, ".reprise-installed");
const say = (line) => process.stderr.write(`reprise: ${line}\n`);

/** What went wrong, in words for the user; the stack would not help. */
export class SetupError extends Error {}

/**
 * Installs what is missing.
 * @returns {Promise<string>} path of a Node that runs TypeScript files
 * @throws {SetupError}
 */
export async function setUp() {
  const node = chooseNode();
  if (isReady(node)) return node;
  await withLock(
    join(cache, "setup-lock"),
    (owner) => say(`waiting for the setup that process ${owner} runs`),
    async (addOwner) => {
      if (!packagesInstalled()) await installPackages(addOwner);
      if (!existsSync(node)) await installNode(node, addOwner);
    },
  );
  return node;
}

const isReady = (node) => packagesInstalled() && existsSync(node);

function chooseNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const newEnough = major > 22 || (major === 22 && minor >= 18);
  if (newEnough && process.features.typescript) return process.execPath;
  return join(cache, `node-${nodeVersion}`, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");
}

const lockHash = () =>
  createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");

function packagesInstalled() {
  try {
    return readFileSync(marker, "utf8") === lockHash();
  } catch (error) {
    if (error.code === "ENOENT") return false;
    throw error;
  }
}

async function installPackages(addOwner) {
  const hash = lockHash();
  say("installing packages …");
  // Not `npm ci`: from npm 11 on it refuses a lock file that was written where some platform's optional packages were not to be had.
  rmSync(modules, { recursive: true, force: true });
  await npm(["install", "--no-save", "--include=dev"], addOwner);
  writeFileSync(`${marker}-new`, hash);
  renameSync(`${marker}-new`, marker);
}

async function installNode(node, addOwner) {
  const platform = `${process.platform}-${process.arch}`;
  if (!nodePlatforms.includes(platform)) {
    throw new SetupError(`Node ${process.versions.node} is too old to run TypeScript; install Node 24 (https://nodejs.org) and try again.`);
  }
  say(`installing Node ${nodeVersion} into .cache (Node ${process.versions.node} is too old to run TypeScript) …`);
  const place = join(cache, `node-${nodeVersion}`);
  const fresh = `${place}-new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  await npm(["install", "--prefix", fresh, "--no-save", "--no-package-lock", `node-${platform}@${nodeVersion}`], addOwner);
  const installed = node.replace(place, fresh);
  try {
    chmodSync(installed, 0o755);
    execFileSync(installed, ["--version"], { stdio: "pipe" });
  } catch (cause) {
    throw new SetupError(`The Node that npm offers does not run here (${cause.message.trim()}); install Node 24 and try again.`, { cause });
  }
  rmSync(place, { recursive: true, force: true });
  renameSync(fresh, place);
}

/** Install scripts stay off: no dependency needs one, and npm 10, 11 and 12 differ in whether they run. */
const npmFlags = [
  "--ignore-scripts",
  "--no-audit",
  "--no-fund",
  "--no-update-notifier",
  "--prefer-offline",
  "--loglevel=error",
  "--fetch-retries=1",
  "--fetch-retry-mintimeout=1000",
];

async function npm(args, addOwner) {
  const own = process.env.npm_execpath;
  const [command, first] = own && basename(own) === "npm-cli.js" ? [process.execPath, [own]] : ["npm", []];
  const child = spawn(command, [...first, ...args, ...npmFlags], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const release = endWithUs(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  if (child.pid) addOwner(child.pid);
  const code = await new Promise((resolve) => {
    child.on("error", (error) => {
      output += error.message;
      resolve(-1);
    });
    child.on("close", resolve);
  });
  release();
  if (code === 0) return;
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ENOTCACHED|ERR_SOCKET_TIMEOUT/.test(output)) {
    throw new SetupError(
      `npm cannot reach its registry (${RegExp.lastMatch}). Setup needs the network once; connect and run the same command again.`,
    );
  }
  throw new SetupError(`npm ${args[0]} failed; mend what it reports and run the same command again.\n${output.trim()}`);
}

/** A setup that is told to stop takes its npm along. */
function endWithUs(child) {
  const handlers = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };
  const stops = Object.entries(handlers).map(([signal, code]) => {
    const stop = () => {
      child.kill(signal);
      child.once("close", () => process.exit(code));
    };
    process.once(signal, stop);
    return () => process.off(signal, stop);
  });
  return () => {
    for (const remove of stops) remove();
  };
}
