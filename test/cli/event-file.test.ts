/** `--tensorboard`: records whose checks hold, and events that a reader of protocol buffers takes apart. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { figuresOf, openEventFile, recordOf } from "../../src/cli/event-file.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(60_000); // the machine may be busy

const cwd = mkdtempSync(join(tmpdir(), "ingot-events-"));
afterAll(() => rmSync(cwd, { recursive: true }));

/** CRC32C bit by bit: another way than the library's table. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
const masked = (bytes: Uint8Array) => {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

/** Fields of a message: numbers, and bytes where they are messages or texts. */
function fieldsOf(bytes: Buffer): [field: number, value: number | Buffer][] {
  const fields: [number, number | Buffer][] = [];
  let at = 0;
  const varint = () => {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const [field, wire] = [key >> 3, key & 7];
    if (wire === 0) fields.push([field, varint()]);
    else if (wire === 1) {
      fields.push([field, bytes.readDoubleLE(at)]);
      at += 8;
    } else if (wire === 5) {
      fields.push([field, bytes.readFloatLE(at)]);
      at += 4;
    } else {
      const length = varint();
      fields.push([field, bytes.subarray(at, at + length)]);
      at += length;
    }
  }
  return fields;
}

/** Events of a file, after its checks. */
function eventsOf(file: string) {
  const bytes = readFileSync(file);
  const events: { time: number; step: number | undefined; version?: string; figures: Record<string, number> }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(bytes.readUInt32LE(at + 8)).toBe(masked(bytes.subarray(at, at + 8)));
    const event = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(masked(event));
    const fields = new Map(fieldsOf(event));
    const summary = fields.get(5);
    const figures = Buffer.isBuffer(summary)
      ? fieldsOf(summary).map(([, value]) => {
          const own = new Map(fieldsOf(value as Buffer));
          return [String(own.get(1)), own.get(2) as number];
        })
      : [];
    events.push({
      time: fields.get(1) as number,
      step: fields.get(2) as number | undefined,
      ...(fields.has(3) && { version: String(fields.get(3)) }),
      figures: Object.fromEntries(figures),
    });
    at += 16 + length;
  }
  return events;
}

test("a record has the check values that other programs give", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283); // the check value of CRC-32C
  const record = recordOf(Buffer.from("abc"));
  expect(record.subarray(12, 15).toString()).toBe("abc");
  expect(record.readUInt32LE(15)).toBe(masked(Buffer.from("abc")));
});

test("figures are those of steps, evaluations and probes", () => {
  expect(figuresOf({ event: "step", step: 3, seconds: 1, epoch: 0.5, loss: 2, lr: 0.1, text: "x", odd: null })).toEqual(
    [
      ["loss", 2],
      ["lr", 0.1],
    ],
  );
  expect(figuresOf({ event: "eval", step: 3, name: "loss", group: "a", value: 1 })).toEqual([["eval/loss/a", 1]]);
  expect(figuresOf({ event: "probe", step: 3, probe: "rank", of: 2 })).toEqual([["rank/of", 2]]);
  expect(figuresOf({ event: "step", step: 3, of: { a: 1, deep: { b: 2, no: "x" } }, list: [1] })).toEqual([
    ["of/a", 1],
    ["of/deep/b", 2],
  ]);
  expect(figuresOf({ event: "warning", text: "no" })).toEqual([]);
});

test("times are the start and the seconds of lines, steps may be large, and the same lines are the same bytes", () => {
  const write = (folder: string) => {
    const file = openEventFile(join(cwd, folder), "run", 1_700_000_000_500);
    file.take({ event: "step", step: 3_000_000_000, seconds: 2, loss: 1.5, größe: 7 });
    file.take({ event: "eval", step: 3_000_000_000, name: "loss", value: 1 });
    file.close();
    return join(cwd, folder, "events.out.tfevents.1700000000.run");
  };
  const [one, two] = [write("one"), write("two")];
  expect(eventsOf(one)).toEqual([
    { time: 1_700_000_000.5, step: undefined, version: "brain.Event:2", figures: {} },
    { time: 1_700_000_002.5, step: 3_000_000_000, figures: { loss: 1.5, größe: 7 } },
    { time: 1_700_000_002.5, step: 3_000_000_000, figures: { "eval/loss": 1 } },
  ]);
  expect(readFileSync(one)).toEqual(readFileSync(two));
  expect(() => openEventFile(join(one, "below"), "run", 0)).toThrow("--tensorboard: ");
});

test("a training writes what its log says, and its weights are the same with it", async () => {
  const net = { model_type: "mlp", input_size: 16, hidden_sizes: [4], num_labels: 3 };
  writeFileSync(join(cwd, "net.json"), JSON.stringify(net));
  const run = (script: string, line: string) => runScript(script, line.split(" "), cwd);
  await run("data", "blobs --size 24 --classes 3 -o blobs.jsonl");
  const line =
    "--init net.json --data blobs.jsonl --eval-data blobs.jsonl --eval-every 2 --steps 4 --batch-size 8 --save-every 0";
  const { code } = await run("train", `${line} --log run.jsonl --tensorboard board -o with.safetensors`);
  expect(code).toBe(0);
  const [name, ...others] = readdirSync(join(cwd, "board"));
  expect(others).toEqual([]);
  const events = eventsOf(join(cwd, "board", name!)).slice(1);
  const logged = readFileSync(join(cwd, "run.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text) as Record<string, unknown>)
    .filter(({ event }) => event === "step" || event === "eval");
  expect(events).toHaveLength(logged.length);
  for (const [i, line] of logged.entries()) {
    expect(events[i]!.step).toBe(Number(line.step));
    if (line.event === "step") expect(events[i]!.figures.loss).toBe(Math.fround(Number(line.loss)));
  }
  expect(Object.keys(Object.assign({}, ...events.map(({ figures }) => figures)))).toContain("eval/loss/blobs");
  await run("train", `${line} -o without.safetensors`);
  expect(readFileSync(join(cwd, "with.safetensors"))).toEqual(readFileSync(join(cwd, "without.safetensors")));
});
