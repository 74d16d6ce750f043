import assert from "node:assert/strict";
import { test } from "node:test";
import { headers } from "@nats-io/transport-node";
import fc from "fast-check";
import { decodeRequest } from "../../daemon/events/envelope.ts";
import { newId } from "../../daemon/events/ids.ts";
import { derivedId, idGrammar, isOwnId } from "../../daemon/events/message-ids.ts";

/** What outsiders may give: any text of the grammar, often like an id of the daemon's own. */
const given = fc
  .array(fc.oneof(fc.constantFrom("/", "/reply", "/sent", "~", "~reply", newId(), "run"), fc.stringMatching(/^[A-Za-z0-9_.:@/+=-]$/)), {
    minLength: 1,
    maxLength: 6,
  })
  .map((parts) => parts.join(""))
  .filter((id) => idGrammar.test(id));
const part = fc.constantFrom("reply", "sent", "1", "reply/sent");

test("what is derived from any id, also one that an outsider gave, no outsider can give", () => {
  fc.assert(
    fc.property(fc.oneof(given, fc.constant(newId())), part, part, (id, first, second) => {
      for (const derived of [derivedId(id, first), derivedId(derivedId(id, first), second)]) {
        assert.ok(isOwnId(derived), derived);
        assert.ok(!idGrammar.test(derived), derived);
      }
    }),
  );
});

test("nobody derives from an id of their own what the daemon derives from another", () => {
  fc.assert(
    fc.property(given, given, part, (mine, other, last) => {
      fc.pre(mine !== other);
      const derivedFrom = (id: string) => [derivedId(id, last), derivedId(derivedId(id, "reply"), last)];
      const shared = derivedFrom(mine).filter((id) => derivedFrom(other).includes(id));
      assert.deepEqual(shared, []);
    }),
  );
});

test("a request under an id of the daemon's own form gets another id; any other id stays", () => {
  const decoded = (id: string) => {
    const head = headers();
    head.append("ce-id", id);
    return decodeRequest(head).id;
  };
  for (const id of [`${newId()}/3`, `${newId()}/outcome`, "hello~reply", "~", `${newId()}/`]) assert.match(decoded(id), /^[0-9A-Z]{26}$/);
  for (const id of [newId(), "run/3", `urn:${newId()}/3`, `${newId()}-3`, newId().toLowerCase()]) assert.equal(decoded(id), id);
});
