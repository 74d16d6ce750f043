import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, it } from "node:test";
import { locateDaemon } from "../../daemon/cli/locate.ts";

const folder = mkdtempSync(join(tmpdir(), "reprise-locate-"));
const announce = (place: object) => {
  mkdirSync(join(folder, ".reprise"), { recursive: true });
  writeFileSync(join(folder, ".reprise", "daemon.json"), JSON.stringify(place));
};
beforeEach(() => rmSync(join(folder, ".reprise"), { recursive: true, force: true }));
after(() => rmSync(folder, { recursive: true }));

describe("the daemon that a command line talks to", () => {
  it("is the one on the default port when nothing else is known", () => {
    const { url, isDefault } = locateDaemon(undefined, {}, folder);
    assert.deepEqual([url, isDefault], ["nats://127.0.0.1:4222", true]);
    assert.equal(locateDaemon(undefined, { REPRISE_NATS_PORT: "5000" }, folder).url, "nats://127.0.0.1:5000");
  });

  it("is the one that runs on the data folder here", () => {
    announce({ pid: process.pid, nats: "nats://127.0.0.1:39999", http: "" });
    assert.equal(locateDaemon(undefined, {}, folder).url, "nats://127.0.0.1:39999");
  });

  it("is not one that has died, nor one that left half a file", () => {
    announce({ pid: 2 ** 22 + 1, nats: "nats://127.0.0.1:39999", http: "" });
    assert.equal(locateDaemon(undefined, {}, folder).url, "nats://127.0.0.1:4222");
    writeFileSync(join(folder, ".reprise", "daemon.json"), "{");
    assert.equal(locateDaemon(undefined, {}, folder).url, "nats://127.0.0.1:4222");
  });

  it("is none where nobody runs on the data folder that is named, rather than another one", () => {
    const env = { REPRISE_DATA: join(folder, "elsewhere") };
    assert.equal(locateDaemon(undefined, env, folder).url, undefined);
    announce({ pid: process.pid, nats: "nats://127.0.0.1:39999", http: "" });
    assert.equal(locateDaemon(undefined, env, folder).url, undefined);
    assert.equal(locateDaemon(undefined, { REPRISE_DATA: join(folder, ".reprise") }, folder).url, "nats://127.0.0.1:39999");
  });

  it("is the one that is named, by --url before the environment", () => {
    announce({ pid: process.pid, nats: "nats://127.0.0.1:39999", http: "" });
    const env = { REPRISE_NATS_URL: "nats://one.example:4222", REPRISE_PREFIX: "acme" };
    assert.deepEqual(locateDaemon(undefined, env, folder).url, "nats://one.example:4222");
    const { url, prefix, isDefault } = locateDaemon("nats://two.example:4222", env, folder);
    assert.deepEqual([url, prefix, isDefault], ["nats://two.example:4222", "acme", false]);
  });
});
