import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { failsWith } from "../harness/fails-with.ts";
import { type StartedPolicy, startPolicy } from "../harness/lamp-slot.ts";

interface Page {
  readonly slots: readonly { readonly slot: string; readonly candidates?: readonly { readonly id: string }[] }[];
  readonly cursor?: string;
}

const large = ["large-1", "large-2", "large-3", "large-4", "large-5", "large-6"];
const small = Array.from({ length: 60 }, (_, number) => `small-${String(number).padStart(2, "0")}`);
/** Three bytes a character. */
const longId = (number: number) => String(number).padStart(128, "€");
const mostBytes = 1024 * 1024;

let policy: StartedPolicy;
before(async () => {
  policy = await startPolicy();
  for (const slot of large) for (let number = 0; number < 1_000; number++) chosen(slot, longId(number));
  for (const slot of small) chosen(slot, "only");
});
after(() => policy?.[Symbol.asyncDispose]());

/** In the log, as a choice of one candidate and its outcome. */
function chosen(slot: string, choice: string): void {
  const decision_id = `${slot} ${choice}`;
  const odds = { probability: 1, scores: { [choice]: 0 }, assigned: 1, context: {}, candidates: [{ id: choice }] };
  const made = { ...odds, reason: "the only candidate", policy: "uniform", version: "1", deployment: "uniform", feature_spec: "1" };
  policy.publish("policy:selected", { decision_id, request: decision_id, slot, choice, by: "client:test", ...made });
  policy.publish("policy:outcome_recorded", { decision_id, slot, choice, reward: 1, source: "policy:outcome" });
}

async function pagesOf(command: string, request: object = {}): Promise<Page[]> {
  const pages: Page[] = [];
  let cursor: string | undefined;
  do {
    const page: Page = await policy.call(command, { ...request, ...(cursor !== undefined && { cursor }) });
    pages.push(page);
    assert.ok(pages.length < 50, "the pages come to an end");
    cursor = page.cursor;
  } while (cursor !== undefined);
  return pages;
}

const namesIn = (pages: readonly Page[]) => pages.flatMap(({ slots }) => slots.map(({ slot }) => slot));

it("policy:stats tells of many slots with many candidates page by page, of each once, and no page is too large", async () => {
  const pages = await pagesOf("policy:stats");
  assert.ok(pages.length >= large.length / 2, `${pages.length} pages`);
  for (const page of pages) assert.ok(Buffer.byteLength(JSON.stringify(page)) < mostBytes);
  assert.deepEqual(namesIn(pages), [...large, ...small]);
  for (const { slot, candidates } of pages.flatMap(({ slots }) => slots))
    assert.equal(candidates?.length, large.includes(slot) ? 1_000 : 1);
});

it("policy:list and policy:stats give as many slots as are asked for, in the order of their names", async () => {
  await policy.call("policy:configure", { slot: "new", learn: [] });
  const listed = await pagesOf("policy:list", { limit: 25 });
  assert.deepEqual(
    listed.map(({ slots }) => slots.length),
    [25, 25, 17],
  );
  assert.deepEqual(namesIn(listed), [...large, "new", ...small]);
  const page: Page = await policy.call("policy:stats", { limit: 20, cursor: "large-9" });
  assert.deepEqual([namesIn([page]), page.cursor], [small.slice(0, 20), small[19]]);
  const last: Page = await policy.call("policy:list", { limit: 2, cursor: small[57] });
  assert.deepEqual([namesIn([last]), last.cursor], [small.slice(58), undefined]);
});

it("a slot that is named is told of alone, and what is no page is refused", async () => {
  for (const command of ["policy:list", "policy:stats"]) {
    assert.deepEqual(namesIn([await policy.call(command, { slot: "small-07" })]), ["small-07"]);
    for (const request of [{ limit: 0 }, { limit: 1_001 }, { cursor: 7 }, { cursor: "x".repeat(129) }]) {
      await assert.rejects(policy.call(command, request), failsWith("REQUEST_INVALID"));
    }
  }
});
