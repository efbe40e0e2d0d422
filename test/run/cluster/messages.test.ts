import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../../src/run/cluster/address.ts";
import { joined, parted, Seal } from "../../../src/run/cluster/envelope.ts";
import { secretOf } from "../../../src/run/cluster/settings.ts";

describe("an address", () => {
  test("is a server and a run; what is told has no password", () => {
    const found = parseAddress("rediss://me:s%40cret@host.example:7000/my-run");
    expect(found).toEqual({
      ...{ run: "my-run", host: "host.example", port: 7000, tls: true, password: "s@cret" },
      ...{ url: "rediss://me:s%40cret@host.example:7000", told: "rediss://host.example:7000/my-run" },
    });
    expect(parseAddress("redis://h/x")).toMatchObject({ port: 6379, tls: false, password: "", url: "redis://h:6379" });
  });

  test.each([
    ["s@cret", "--cluster is no URL"],
    ["http://:s@cret@h/x", "--cluster: http:// is no Redis server"],
    ["redis://:s@cret@h", "--cluster: no run is named after the server"],
    ["redis://:s@cret@h/a b", "--cluster: a%20b is no name of a run after the server"],
  ])("%s is refused", (text, message) => {
    expect(() => parseAddress(text)).toThrow(new Error(message).message);
    try {
      parseAddress(text);
    } catch (error) {
      expect(`${error} ${(error as { hint?: string }).hint}`).not.toContain("cret");
    }
  });

  test("messages are signed by a variable, else by the password, else not sent", () => {
    const address = parseAddress("redis://:word@h/x");
    expect(secretOf(address, "K", { K: "key" })).toBe("key");
    expect(secretOf(address, "K", {})).toBe("word");
    expect(() => secretOf(parseAddress("redis://h/x"), "K", {})).toThrow("nothing signs the messages of this run");
  });
});

test("a signature is over the payload, what it is of, who it is from, the run and its key", () => {
  const seal = new Seal("key", "run", "nonce");
  const subject = { kind: "answer", round: 3, task: 1, from: "w" } as const;
  const payload = Uint8Array.of(1, 2, 3);
  const signature = seal.sign(subject, payload);
  expect(signature).toHaveLength(22);
  expect(seal.fault(subject, payload, signature)).toBeUndefined();
  const changed = "it was changed on the way, or is signed with another key";
  for (const [other, of, said] of [
    [seal, { ...subject, round: 4 }, payload],
    [seal, { ...subject, task: 2 }, payload],
    [seal, { ...subject, from: "v" }, payload],
    [seal, { ...subject, kind: "round" as const }, payload],
    [seal, subject, Uint8Array.of(1, 2, 4)],
    [new Seal("other", "run", "nonce"), subject, payload],
    [new Seal("key", "other", "nonce"), subject, payload],
    [new Seal("key", "run", "other"), subject, payload],
  ] as const)
    expect(other.fault(of, said, signature)).toBe(changed);
  expect(seal.fault(subject, payload, signature.slice(1))).toBe(changed);
  expect(seal.fault(subject, payload, undefined)).toBe("it is not signed");
});

test("payloads are joined and parted again; anything else is no list of them", () => {
  for (const lengths of [[], [0], [1, 127, 128, 20_000], [3, 3]]) {
    const parts = lengths.map((length, i) => new Uint8Array(length).fill(i + 1));
    const hex = (list: readonly Uint8Array[] | undefined) => list?.map((part) => Buffer.from(part).toString("hex"));
    expect(hex(parted(joined(parts)))).toEqual(hex(parts));
  }
  const whole = joined([Uint8Array.of(1, 2), Uint8Array.of(3)]);
  for (const bytes of [whole.subarray(0, -1), Buffer.concat([whole, whole]), new Uint8Array(), Uint8Array.of(255)])
    expect(parted(bytes)).toBeUndefined();
});
