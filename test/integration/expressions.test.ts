import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, describe, it } from "node:test";
import { CodedError, type ErrorCode } from "../../daemon/errors.ts";
import { createExpressions } from "../../daemon/expressions/expressions.ts";

const expressions = createExpressions();
after(() => expressions[Symbol.asyncDispose]());

const failsWith =
  (code: ErrorCode, details: Record<string, unknown> = {}) =>
  (error: unknown) => {
    assert.ok(error instanceof CodedError, String(error));
    assert.equal(error.code, code);
    for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value);
    return true;
  };

const catastrophicRegularExpression = `$match("${"a".repeat(40)}!", /^(a+)+$/)`;

async function processHasEnded(processId: number) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      process.kill(processId, 0);
    } catch {
      return;
    }
    assert.ok(Date.now() < deadline, `process ${processId} still runs`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("expressions", () => {
  it("evaluate over the input and the bindings", async () => {
    const input = { event: "monitoring:alert", data: { score: 50 } };
    assert.equal(await expressions.evaluate("data.score > $limit and event = 'monitoring:alert'", input, { limit: 30 }), true);
  });

  it("yield undefined for nothing, and null for null", async () => {
    assert.equal(await expressions.evaluate("missing.path", {}), undefined);
    assert.equal(await expressions.evaluate("here", { here: null }), null);
  });

  it("carry text with line breaks and characters of several bytes unharmed", async () => {
    const text = "a\nb\u2028 ä 漢 😀".repeat(10_000);
    assert.equal(await expressions.evaluate("text", { text }), text);
  });

  it("repeat the clock and the dice that the bindings fix", async () => {
    const now = "2026-11-20T10:00:00.000Z";
    assert.equal(await expressions.evaluate("$now()", {}, { now }), now);
    assert.equal(await expressions.evaluate("$now('[Y]/[M01]')", {}, { now }), "2026/11");
    assert.equal(await expressions.evaluate("$millis()", {}, { now }), Date.parse(now));
    const roll = () => expressions.evaluate("[$random(), $random(), $shuffle([1..20])]", {}, { random: 0.5 });
    assert.deepEqual(await roll(), await roll());
    assert.notEqual(await expressions.evaluate("$random()", {}), await expressions.evaluate("$random()", {}));
  });

  it("name the position of a syntax error, in check as in evaluate", async () => {
    await assert.rejects(expressions.check("data.score >"), failsWith("EXPRESSION_INVALID", { position: 12 }));
    await assert.rejects(expressions.evaluate("a ~~ b", {}), failsWith("EXPRESSION_INVALID", { position: 3 }));
    await expressions.check("data.score > 3");
  });

  it("fail for a wrong type, and for a result that is a function", async () => {
    await assert.rejects(expressions.evaluate("1 + 'a'", {}), failsWith("EXPRESSION_FAILED", { position: 3 }));
    await assert.rejects(expressions.evaluate("{'a': function($x){$x}}", {}), failsWith("EXPRESSION_FAILED"));
    await assert.rejects(expressions.evaluate("$sum", {}), failsWith("EXPRESSION_FAILED"));
    await assert.rejects(expressions.evaluate("$now()", {}, { now: "soon" }), failsWith("EXPRESSION_FAILED"));
  });

  it("allow honest recursion", async () => {
    assert.equal(await expressions.evaluate("($f := function($n){$n < 2 ? 1 : $n * $f($n - 1)}; $f(50))", {}), 30414093201713376e48);
  });

  const bombs: [string, string, string[]][] = [
    ["a string of 200 MB", '$pad("x", 2e8)', ["memory", "time"]],
    ["a catastrophic regular expression", catastrophicRegularExpression, ["time"]],
    ["endless recursion", "($f := function($n){1 + $f($n)}; $f(1))", ["depth"]],
    ["an endless loop by tail calls", "($f := function($n){$f($n)}; $f(1))", ["time"]],
    ["an expression nested 30 000 deep", `${"(".repeat(30_000)}1${")".repeat(30_000)}`, ["depth"]],
    ["a sequence of 10 000 000 items", "$map([1..10000000], function($x){$x})", ["size"]],
    ["a string that doubles for ever", "($f := function($s){$f($s & $s)}; $f('x'))", ["memory", "time"]],
    ["a result over 1 MB", '$pad("x", 2000000)', ["size"]],
    ["an expression over 64 KB", `"${"x".repeat(70_000)}"`, ["size"]],
  ];
  for (const [name, bomb, limits] of bombs) {
    it(`are stopped at ${name}, and the next one is evaluated`, async () => {
      await assert.rejects(expressions.evaluate(bomb, {}), (error) => {
        assert.ok(failsWith("EXPRESSION_LIMIT")(error) && error instanceof CodedError);
        assert.ok(limits.includes(String(error.details.limit)), String(error.details.limit));
        return true;
      });
      assert.equal(await expressions.evaluate("1 + 1", {}), 2);
    });
  }

  it("refuse an input over 1 MB", async () => {
    await assert.rejects(expressions.evaluate("1", { text: "x".repeat(1_000_001) }), failsWith("EXPRESSION_LIMIT", { limit: "size" }));
  });

  it("let five bombs among 200 cost only their own callers", async () => {
    const isBomb = (index: number) => index % 40 === 7;
    const answers = await Promise.allSettled(
      Array.from({ length: 200 }, (_, index) =>
        expressions.evaluate(isBomb(index) ? catastrophicRegularExpression : "n * 2", { n: index }),
      ),
    );
    assert.equal(answers.filter(({ status }) => status === "rejected").length, 5);
    for (const [index, answer] of answers.entries()) {
      if (answer.status === "fulfilled") assert.equal(answer.value, index * 2);
      else assert.ok(isBomb(index) && failsWith("EXPRESSION_LIMIT", { limit: "time" })(answer.reason));
    }
  });

  it("refuse when more wait than the queue holds, and answer those that wait", async () => {
    const answers = await Promise.allSettled(Array.from({ length: 10_010 }, () => expressions.evaluate("1", undefined)));
    const refused = answers.filter((answer) => answer.status === "rejected");
    assert.ok(refused.length > 0 && refused.length <= 10, String(refused.length));
    for (const { reason } of refused) failsWith("EXPRESSION_BUSY")(reason);
  });

  it("reach neither the process nor the prototypes", async () => {
    const probes = [
      "constructor",
      "$.constructor.constructor",
      "__proto__",
      "$now.constructor",
      "toString.constructor",
      "$lookup($, 'constructor')",
      "$lookup($, '__proto__').polluted",
      "process",
      "$process",
      "globalThis.process",
      "$eval('constructor.constructor')",
      "$eval('process.env')",
    ];
    for (const probe of probes) {
      const outcome = await expressions.evaluate(probe, { a: 1 }, { now: 0 }).catch((error) => error);
      assert.ok(outcome === undefined || outcome instanceof CodedError, `${probe} yielded ${JSON.stringify(outcome)}`);
    }
    const pollutions = [
      "$ ~> |$|{'__proto__': {'polluted': true}}|",
      "$ ~> |__proto__|{'polluted': true}|",
      "{'__proto__': {'polluted': true}}",
    ];
    for (const pollution of pollutions) {
      await expressions.evaluate(pollution, { a: 1 }).catch(() => {});
      await expressions.evaluate(pollution, JSON.parse('{"__proto__": {"x": 1}}')).catch(() => {});
      assert.equal(await expressions.evaluate("polluted", { a: 1 }), undefined);
      assert.equal(await expressions.evaluate("$lookup($, 'polluted')", { a: 1 }), undefined);
    }
  });

  it("end their process when disposed, and refuse from then on", async () => {
    const own = createExpressions();
    assert.equal(own.processId, undefined, "nothing starts before the first use");
    await own.check("1");
    const { processId } = own;
    assert.ok(processId);
    const bomb = assert.rejects(own.evaluate(catastrophicRegularExpression, {}), failsWith("SHUTTING_DOWN"));
    await own[Symbol.asyncDispose]();
    await bomb;
    await processHasEnded(processId);
    await assert.rejects(own.check("1"), failsWith("SHUTTING_DOWN"));
  });

  it("end their process when the daemon is killed", async () => {
    const program = `
      import { createExpressions } from ${JSON.stringify(new URL("../../daemon/expressions/expressions.ts", import.meta.url).href)};
      const expressions = createExpressions();
      await expressions.check("1");
      console.log(expressions.processId);`;
    const parent = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
    const [output] = await once(parent.stdout, "data");
    const processId = Number(output);
    assert.ok(processId > 0);
    parent.kill("SIGKILL");
    await processHasEnded(processId);
  });
});
