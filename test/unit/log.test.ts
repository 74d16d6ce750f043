import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLog } from "../../daemon/log.ts";

async function logged(fields: object, level = "info"): Promise<Record<string, unknown>> {
  const lines: string[] = [];
  const log = await createLog(level, { write: (line) => void lines.push(line) });
  log.child({ module: "event" }).info(fields, "happened");
  return lines[0] === undefined ? {} : JSON.parse(lines[0]);
}

describe("the log", () => {
  it("is one JSON object per line, with the level's name, the time and the module", async () => {
    const line = await logged({ id: "1" });
    assert.equal(line.level, "info");
    assert.equal(line.module, "event");
    assert.equal(line.id, "1");
    assert.equal(line.msg, "happened");
    assert.ok(Math.abs(Date.parse(String(line.time)) - Date.now()) < 60_000);
  });

  it("leaves out what is below its level", async () => {
    assert.deepEqual(await logged({}, "warn"), {});
  });

  it("hides secrets at every depth, in lists, and in URLs, and only those", async () => {
    const model = { provider: { apiKey: "K1", options: [{ authorization: "K2", api_key: "K3" }] }, access_token: "K4", password: "K5" };
    const line = await logged({ model, url: "nats://user:K6@host:4222", tokens: 12, keys: ["a"], mail: "a@b.org" });
    assert.doesNotMatch(JSON.stringify(line), /K\d/);
    assert.equal(line.url, "nats://[redacted]@host:4222");
    assert.equal(line.tokens, 12);
    assert.deepEqual(line.keys, ["a"]);
    assert.equal(line.mail, "a@b.org");
  });

  it("writes an error with its stack and its own fields, without the secrets in them", async () => {
    const error = Object.assign(new Error("cannot reach nats://user:K7@host"), { code: "ECONNREFUSED", token: "K8" });
    for (const key of ["error", "err"]) {
      const line = (await logged({ [key]: error }))[key] as Record<string, unknown>;
      assert.doesNotMatch(JSON.stringify(line), /K\d/);
      assert.equal(line.code, "ECONNREFUSED");
      assert.match(String(line.stack), /log\.test\.ts/);
    }
  });
});
