/** What the embedded server finds in its folder: configuration and credentials, both for the owner's eyes only. */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { clientPermissions, daemonPermissions, type Served } from "./permissions.ts";
import type { Subjects } from "./subjects.ts";

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export interface ServerFiles {
  /** The server's folder. */
  readonly directory: string;
  readonly subjects: Subjects;
  /** Durable consumers that belong to the daemon's modules. */
  readonly modules: readonly Served[];
  /** Bytes; larger messages are refused. */
  readonly maximumPayload: number;
  /** Whether each write is on the disk before it is acknowledged. */
  readonly synchronous: boolean;
}

export const configurationFile = (directory: string): string => join(directory, "server.conf");
export const pidFile = (directory: string): string => join(directory, "server.pid");

/** The daemon's user; its password is made once and kept. */
export async function loadCredentials(directory: string): Promise<Credentials> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, "password");
  const kept = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  if (kept !== "") return { user: "reprise", password: kept };
  const password = randomBytes(24).toString("base64url");
  await writePrivately(file, password);
  return { user: "reprise", password };
}

/** @param port -1 lets the server choose */
export async function writeConfiguration(files: ServerFiles, { user, password }: Credentials, port: number): Promise<void> {
  const { directory, subjects, modules, maximumPayload, synchronous } = files;
  const configuration = {
    server_name: "reprise",
    host: "127.0.0.1",
    port,
    pid_file: pidFile(directory),
    max_payload: maximumPayload,
    jetstream: { store_dir: directory, ...(synchronous && { sync_interval: "always" }) },
    authorization: {
      users: [
        { user, password, permissions: daemonPermissions },
        { user: "client", password: randomBytes(24).toString("base64url"), permissions: clientPermissions(subjects, modules) },
      ],
    },
    no_auth_user: "client",
  };
  await writePrivately(configurationFile(directory), JSON.stringify(configuration, undefined, 2));
}

async function writePrivately(file: string, content: string): Promise<void> {
  await writeFile(`${file}.new`, content, { mode: 0o600 });
  await chmod(`${file}.new`, 0o600);
  await rename(`${file}.new`, file);
}
