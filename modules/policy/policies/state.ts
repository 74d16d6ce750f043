/**
 * A policy's state as bytes: "RPS1", SHA-256 of the rest, length of the header, header as JSON, then the vectors as
 * little-endian doubles. The same state gives the same bytes, whatever the machine.
 */
import { createHash } from "node:crypto";
import { endianness } from "node:os";
import { z } from "zod";
import { CodedError } from "../../../daemon/errors.ts";

const magic = "RPS1";
const digestBytes = 32;
const headerAt = magic.length + digestBytes + 4;

export interface PolicyState<Header> {
  readonly header: Header;
  readonly vectors: readonly Float64Array[];
}

/**
 * @param policy name of the policy
 * @param spec version of the feature spec
 * @param header anything that JSON takes
 */
export function packState(policy: string, spec: string, header: unknown, vectors: readonly Float64Array[]): Uint8Array {
  const lengths = vectors.map(({ length }) => length);
  const text = Buffer.from(JSON.stringify({ policy, spec, lengths, header }));
  const bytes = Buffer.alloc(headerAt + text.length + 8 * lengths.reduce((sum, length) => sum + length, 0));
  bytes.write(magic, 0, "latin1");
  bytes.writeUInt32LE(text.length, headerAt - 4);
  text.copy(bytes, headerAt);
  let offset = headerAt + text.length;
  for (const { buffer, byteOffset, byteLength } of vectors) {
    inLittleEndian(Buffer.from(buffer, byteOffset, byteLength)).copy(bytes, offset);
    offset += byteLength;
  }
  digest(bytes).copy(bytes, magic.length);
  return bytes;
}

/** @throws CodedError POLICY_STATE_INVALID when the bytes are corrupt, contain NaN, or are of another policy or spec */
export function unpackState<Header>(bytes: Uint8Array, policy: string, spec: string): PolicyState<Header> {
  const refuse = (reason: string) => refusedState(policy, spec, reason);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < headerAt || buffer.toString("latin1", 0, magic.length) !== magic) throw refuse("not one of a policy");
  if (!digest(buffer).equals(buffer.subarray(magic.length, magic.length + digestBytes))) throw refuse("corrupt");
  let offset = headerAt + buffer.readUInt32LE(headerAt - 4);
  const read = parse(buffer.toString("utf8", headerAt, offset));
  if (read === undefined) throw refuse("without a readable header");
  if (read.policy !== policy) throw refuse(`one of ${read.policy}`);
  if (read.spec !== spec) throw refuse(`of the feature spec ${read.spec}`);
  if (read.lengths.reduce((sum, length) => sum + 8 * length, offset) !== buffer.length) throw refuse("cut off");
  const vectors = read.lengths.map((length) => {
    const end = offset + 8 * length;
    // A copy, since doubles must lie at multiples of 8.
    const vector = new Float64Array(Uint8Array.from(inLittleEndian(buffer.subarray(offset, end))).buffer);
    offset = end;
    return vector;
  });
  if (vectors.some((vector) => vector.some((value) => !Number.isFinite(value)))) throw refuse("not made of finite numbers");
  return { header: read.header as Header, vectors };
}

/** Why a state cannot be used. */
export const refusedState = (policy: string, spec: string, reason: string): CodedError =>
  new CodedError("POLICY_STATE_INVALID", `The state is ${reason}`, { policy, spec });

const written = z.object({ policy: z.string(), spec: z.string(), lengths: z.array(z.int().min(0)), header: z.unknown() });

function parse(text: string): z.output<typeof written> | undefined {
  try {
    return written.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Doubles of this machine in the order of the format, and back. */
const inLittleEndian = (doubles: Buffer): Buffer => (endianness() === "LE" ? doubles : Buffer.from(doubles).swap64());

const digest = (bytes: Buffer): Buffer =>
  createHash("sha256")
    .update(bytes.subarray(magic.length + digestBytes))
    .digest();
