/**
 * nats-server from the package of a newer suite of Debian or Ubuntu, through the system's own apt: its mirror, its proxies and
 * its keys, but with lists and a cache in a private folder, so that the system stays as it is.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "./run-tool.ts";

/** Suites with a nats-server that is new enough, by the ID of /etc/os-release; the first that works is taken. */
const suites: Readonly<Record<string, { names: readonly string[]; component: string; keyring: string }>> = {
  debian: { names: ["sid"], component: "main", keyring: "debian-archive-keyring" },
  ubuntu: { names: ["devel"], component: "universe", keyring: "ubuntu-archive-keyring" },
};

/** @returns path of nats-server below `folder` */
export async function fetchPackage(folder: string, signal: AbortSignal): Promise<string> {
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const distribution = /^ID="?([a-z]+)"?$/m.exec(release)?.[1] ?? process.platform;
  const suite = suites[distribution];
  if (suite === undefined) throw new Error(`no package for ${distribution}`);
  const mirror = await findMirror(/^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1], signal);

  const keyring = await findKeyring(suite.keyring);

  const failures: string[] = [];
  for (const name of suite.names) {
    const source = `deb [signed-by=${keyring}] ${mirror} ${name} ${suite.component}\n`;
    try {
      return await fetchFrom(source, join(folder, name), signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(`${name}: ${(error as Error).message}`);
    }
  }
  throw new Error(failures.join("; "));
}

async function findKeyring(name: string): Promise<string> {
  const folder = "/usr/share/keyrings";
  const file = (await readdir(folder)).find((entry) => entry === `${name}.gpg` || entry === `${name}.pgp`);
  if (file === undefined) throw new Error(`${folder} has no ${name}`);
  return join(folder, file);
}

/** The mirror that the system itself uses for its release. */
async function findMirror(codename: string | undefined, signal: AbortSignal): Promise<string> {
  const format = "$(REPO_URI) $(CODENAME)";
  const targets = await runTool("apt-get", ["indextargets", "--format", format, "Created-By: Packages"], { signal, limit: 10_000 });
  for (const line of targets.split("\n")) {
    const [uri, target] = line.split(" ");
    if (uri && target === codename) return uri;
  }
  throw new Error(`apt is configured with no source for ${codename ?? "this release"}`);
}

async function fetchFrom(source: string, folder: string, signal: AbortSignal): Promise<string> {
  const list = join(folder, "sources.list");
  await mkdir(join(folder, "lists", "partial"), { recursive: true });
  await mkdir(join(folder, "cache", "archives", "partial"), { recursive: true });
  await writeFile(list, source);
  const options = {
    "Dir::State": folder,
    "Dir::State::status": "/dev/null",
    "Dir::Cache": join(folder, "cache"),
    "Dir::Etc::sourcelist": list,
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Etc::preferences": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "Acquire::Languages": "none",
    // The files are ours; root's apt would else hand them to a user who may not enter this folder, and warn.
    "APT::Sandbox::User": "",
    "APT::Update::Error-Mode": "any",
  };
  const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  await runTool("apt-get", [...flags, "update"], { signal, limit: 60_000, cwd: folder });
  await runTool("apt-get", [...flags, "download", "nats-server"], { signal, limit: 60_000, cwd: folder });
  const file = (await readdir(folder)).find((name) => name.endsWith(".deb"));
  if (file === undefined) throw new Error("apt-get downloaded no package");
  await runTool("dpkg-deb", ["-x", file, "unpacked"], { signal, limit: 20_000, cwd: folder });
  return join(folder, "unpacked", "usr", "sbin", "nats-server");
}
