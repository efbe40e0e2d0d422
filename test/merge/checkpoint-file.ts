/** Writes a safetensors file of f32 tensors by hand, for tests of methods that read further checkpoints. */
import { writeFileSync } from "node:fs";

export interface FileTensor {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

export function writeCheckpoint(path: string, tensors: Readonly<Record<string, FileTensor>>): void {
  const header: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    const bytes = new Uint8Array(Float32Array.from(values).buffer);
    header[name] = { dtype: "F32", shape, data_offsets: [end, end + bytes.byteLength] };
    parts.push(bytes);
    end += bytes.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.byteLength % 8)) % 8, " ")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.byteLength));
  writeFileSync(path, Buffer.concat([length, padded, ...parts]));
}
