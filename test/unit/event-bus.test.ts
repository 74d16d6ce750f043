import assert from "node:assert/strict";
import { test } from "node:test";
import { EventBus, type EventBusOptions } from "../../daemon/events/event-bus.ts";
import { matches } from "../../daemon/names.ts";

/** A bus over a log that holds one event. */
function busOver(known: { id: string; type: string; seq: number }) {
  const findById = (id: string, pattern = "*") => (id === known.id && matches(pattern, known.type) ? known.seq : undefined);
  const append = async () => ({ seq: known.seq + 1, duplicate: false });
  return new EventBus({ index: { findById }, log: { append } } as unknown as EventBusOptions);
}

test("a module's event repeats one of its own domain alone, whatever else has its id", async () => {
  const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV/ended";
  const emit = (bus: EventBus) => bus.emitOwn("approval:decided", {}, "approval", {}, id);
  assert.deepEqual(await emit(busOver({ id, type: "approval:expired", seq: 7 })), { id, seq: 7, duplicate: true });
  assert.deepEqual(await emit(busOver({ id, type: "guess:made", seq: 7 })), { id, seq: 8, duplicate: false });
});
