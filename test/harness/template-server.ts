/** A nats-server as a user would run it, with the shipped permissions of docs/nats-permissions.conf. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { projectFolder } from "../../daemon/project.ts";
import { natsBinary } from "./nats-binary.ts";

export interface TemplateServer extends AsyncDisposable {
  /** With the daemon's credentials. */
  readonly daemonUrl: string;
  /** With those of a client. */
  readonly clientUrl: string;
}

const passwords = { REPRISE_NATS_PASSWORD: "of-the-daemon", REPRISE_NATS_CLIENT_PASSWORD: "of-clients" };

export async function startTemplateServer(): Promise<TemplateServer> {
  const folder = await mkdtemp(join(tmpdir(), "reprise-template-"));
  const configuration = join(folder, "server.conf");
  // An include is looked for beside the file that names it.
  const template = join(projectFolder, "docs", "nats-permissions.conf").split("/").slice(1).join("/");
  const upwards = folder.split("/").slice(1).fill("..").join("/");
  await writeFile(configuration, `host: 127.0.0.1\nport: -1\nmax_payload: 8MB\ninclude "${upwards}/${template}"\n`);
  const server = spawn(await natsBinary(), ["-c", configuration, "-sd", folder], {
    env: { ...process.env, ...passwords },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const said: string[] = [];
  let port: string | undefined;
  for await (const line of createInterface({ input: server.stderr })) {
    said.push(line);
    port ??= /Listening for client connections on .*:(\d+)$/.exec(line)?.[1];
    if (line.includes("Server is ready")) break;
  }
  if (port === undefined) throw new Error(`nats-server did not start:\n${said.join("\n")}`);
  server.stderr.resume();
  return {
    daemonUrl: `nats://reprise:${passwords.REPRISE_NATS_PASSWORD}@127.0.0.1:${port}`,
    clientUrl: `nats://client:${passwords.REPRISE_NATS_CLIENT_PASSWORD}@127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.kill("SIGTERM");
      await once(server, "exit");
      await rm(folder, { recursive: true, force: true });
    },
  };
}
