/** Rows of numbers without their zeros (compressed sparse rows): of the hundreds of numbers that describe a candidate some twenty are not 0. */
export interface SparseRows {
  /** Row i has the entries from starts[i] to starts[i + 1]. */
  readonly starts: readonly number[];
  /** Each at most once a row, ascending. */
  readonly positions: Uint16Array;
  /** Beside their positions. */
  readonly values: Float32Array;
}

/** What rows are made in. To allocate it would take longer than all the rest, so it is used again. */
interface Workspace {
  /** The row under way, with its zeros. */
  sums: Float32Array;
  /** A bit for each position of it that something was added to. */
  touched: Int32Array;
  /** Entries of the rows that were ended. */
  positions: Uint16Array;
  values: Float32Array;
}

const idle: Workspace[] = [];

const createWorkspace = (): Workspace => ({
  sums: new Float32Array(),
  touched: new Int32Array(),
  positions: new Uint16Array(),
  values: new Float32Array(),
});

/** Sums up one row after the other. */
export class SparseRowsBuilder {
  readonly #workspace: Workspace;
  readonly #length: number;
  readonly #starts = [0];
  #count = 0;

  /** @param length of each row, zeros included: at most 65 536 */
  constructor(length: number) {
    const workspace = idle.pop() ?? createWorkspace();
    if (workspace.sums.length < length) {
      workspace.sums = new Float32Array(length);
      workspace.touched = new Int32Array((length + 31) >>> 5);
    } else {
      workspace.sums.fill(0);
      workspace.touched.fill(0);
    }
    this.#workspace = workspace;
    this.#length = length;
  }

  /** To what is at this position of the row under way. */
  add(position: number, value: number): void {
    const { sums, touched } = this.#workspace;
    sums[position] = (sums[position] as number) + value;
    touched[position >>> 5] = (touched[position >>> 5] as number) | (1 << (position & 31));
  }

  endRow(): void {
    this.#makeRoom();
    const { sums, touched, positions, values } = this.#workspace;
    let count = this.#count;
    for (let word = 0; word << 5 < this.#length; word++) {
      for (let bits = touched[word] as number; bits !== 0; bits &= bits - 1) {
        const position = (word << 5) + 31 - Math.clz32(bits & -bits);
        positions[count] = position;
        values[count++] = sums[position] as number;
        sums[position] = 0;
      }
      touched[word] = 0;
    }
    this.#count = count;
    this.#starts.push(count);
  }

  /** All rows that were ended. The builder must not be used afterwards: what it worked in is another one's. */
  build(): SparseRows {
    const { positions, values } = this.#workspace;
    idle.push(this.#workspace);
    return { starts: this.#starts, positions: positions.slice(0, this.#count), values: values.slice(0, this.#count) };
  }

  #makeRoom(): void {
    const { positions, values } = this.#workspace;
    if (this.#count + this.#length <= positions.length) return;
    const length = 2 * positions.length + this.#length;
    this.#workspace.positions = new Uint16Array(length);
    this.#workspace.positions.set(positions);
    this.#workspace.values = new Float32Array(length);
    this.#workspace.values.set(values);
  }
}

/** One of the rows by itself. */
export function rowOf({ starts, positions, values }: SparseRows, row: number): SparseRows {
  const [start, end] = [starts[row] as number, starts[row + 1] as number];
  return { starts: [0, end - start], positions: positions.slice(start, end), values: values.slice(start, end) };
}

/** One row with its zeros. */
export function toDense({ starts, positions, values }: SparseRows, row: number, length: number): Float32Array {
  const dense = new Float32Array(length);
  for (let entry = starts[row] as number; entry < (starts[row + 1] as number); entry++) {
    dense[positions[entry] as number] = values[entry] as number;
  }
  return dense;
}

/** Σ value² of one row. */
export function squaredNorm({ starts, values }: SparseRows, row: number): number {
  let sum = 0;
  for (let entry = starts[row] as number; entry < (starts[row + 1] as number); entry++) sum += (values[entry] as number) ** 2;
  return sum;
}
