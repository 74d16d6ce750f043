import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { rowOf, SparseRowsBuilder, squaredNorm, toDense } from "../../modules/policy/features/sparse-rows.ts";

const length = 70;
const addition = fc.tuple(fc.nat(length - 1), fc.integer({ min: -8, max: 8 }));

test("sparse rows are what was added up, row by row, also where two are made at the same time", () => {
  fc.assert(
    fc.property(fc.array(fc.array(addition)), (asked) => {
      const built = new SparseRowsBuilder(length);
      const beside = new SparseRowsBuilder(length / 2);
      for (const additions of asked) {
        for (const [position, value] of additions) {
          built.add(position, value);
          beside.add(position >>> 1, 1);
        }
        built.endRow();
        beside.endRow();
      }
      const rows = built.build();
      const others = beside.build();
      assert.equal(rows.starts.length, asked.length + 1);
      for (const [row, additions] of asked.entries()) {
        const expected = new Float32Array(length);
        for (const [position, value] of additions) expected[position] = (expected[position] as number) + value;
        assert.deepEqual(toDense(rows, row, length), expected);
        assert.deepEqual(toDense(rowOf(rows, row), 0, length), expected);
        assert.equal(
          squaredNorm(rows, row),
          expected.reduce((sum, value) => sum + value ** 2, 0),
        );
        const counted = toDense(others, row, length / 2).reduce((sum, value) => sum + value, 0);
        assert.equal(counted, additions.length);
      }
    }),
  );
});

test("what was never ended is in no row of the next", () => {
  const left = new SparseRowsBuilder(length);
  left.add(3, 1);
  left.build();
  const next = new SparseRowsBuilder(length);
  next.add(4, 2);
  next.endRow();
  assert.deepEqual([...next.build().positions], [4]);
});
