import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type MeasuredFile, renderTable, summarise, verdict } from "../../daemon/cli/demo/summary.ts";

const measurement = (original_bytes: number, compressed_bytes: number, milliseconds: number) => ({
  original_bytes,
  compressed_bytes,
  saved_share: 1 - compressed_bytes / original_bytes,
  milliseconds,
});

const files: MeasuredFile[] = [
  { path: "text", choice: "small", measured: { fast: measurement(100, 50, 1), small: measurement(100, 20, 10) } },
  { path: "image", choice: "fast", measured: { fast: measurement(300, 300, 2), small: measurement(300, 290, 50) } },
];

describe("the summary of the demo", () => {
  it("weighs the same measurements by what each choice would have taken", () => {
    const { learned, fixed, best_possible } = summarise(files, 0.01);
    assert.deepEqual(
      fixed.map(({ choice }) => choice),
      ["fast", "small"],
    );
    const [fast] = fixed;
    assert.deepEqual([fast?.bytes, fast?.milliseconds, fast?.saved_share], [350, 3, 1 - 350 / 400]);
    assert.ok(Math.abs((fast?.mean_reward ?? 0) - (0.5 - 0.01 + 0 - 0.02) / 2) < 1e-12);
    assert.deepEqual([learned.bytes, learned.milliseconds], [320, 12]);
    assert.deepEqual({ ...best_possible, choice: "learned" }, learned);
  });

  it("changes with what a millisecond is worth", () => {
    assert.equal(summarise(files, 0).best_possible.bytes, 310);
    assert.equal(summarise(files, 1).best_possible.bytes, 350);
  });

  it("is a table with the learned choice first and the best possible last", () => {
    const lines = renderTable(summarise(files, 0.01)).trimEnd().split("\n");
    assert.match(lines[2] ?? "", /^learned +320 +20\.00 % +12\.0 +0\.340/);
    assert.match(lines.at(-1) ?? "", /^best possible +320 /);
    assert.equal(new Set(lines.map(({ length }) => length)).size, 1);
  });

  it("says how the learned choice compares with the best fixed one", () => {
    assert.match(verdict(summarise(files, 0.01)), /is 0\.1050 \(44\.7 %\) above that of fast.*for each file would be 0\.1050/);
    assert.match(verdict(summarise([{ ...files[0], choice: "fast" } as MeasuredFile], 0.01)), / %\) below that of small/);
  });
});
