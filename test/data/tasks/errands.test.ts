/** Errands: what workers say, and demonstrations that call them. */
import { expect, test } from "bun:test";
import { answerOf, askedOf, type Errand, errandIn, reply, workersOf } from "../../../src/data/worlds/errands.ts";
import { openTask, rowsOf } from "./open-task.ts";

const ERRAND: Errand = { start: 3, steps: ["b", "a"], workers: { a: "1234567890", b: "9876543210" } };

test("workers answer those who call them, and the end is right where the digit is", () => {
  expect([answerOf(ERRAND), askedOf(ERRAND)]).toEqual([7, "3 b a"]);
  expect(reply(ERRAND, " b 3\n")).toEqual({ says: "6" });
  expect(reply(ERRAND, "a 6")).toEqual({ says: "7" });
  for (const odd of ["c 3", "b", "b 33", "= x", "", "toString 3"]) expect(reply(ERRAND, odd)).toEqual({ says: "?" });
  expect([reply(ERRAND, "= 7"), reply(ERRAND, "=8")]).toEqual([{ isRight: true }, { isRight: false }]);
  for (const rule of Object.values(workersOf(5, 4))) expect([...rule].sort().join("")).toBe("0123456789");
});

test("rows say what an errand is, or have none", () => {
  expect(errandIn({ errand: JSON.parse(JSON.stringify(ERRAND)) })).toEqual(ERRAND);
  const odd = [{ ...ERRAND, start: 10 }, { ...ERRAND, steps: ["z"] }, { ...ERRAND, workers: { a: "12", b: "9" } }, 1];
  for (const own of odd) expect(errandIn({ errand: own as never })).toBeUndefined();
});

interface Shown {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly answer: string;
  readonly right: boolean;
  readonly errand: Errand;
}
const shown = async (options: Record<string, unknown>) =>
  rowsOf(await openTask("errands", options), 400) as unknown as Shown[];

test("demonstrations are what workers say, and end right without slips", async () => {
  for (const slips of [0, 0.5]) {
    const rows = await shown({ slips });
    for (const { messages, answer, right, errand } of rows) {
      expect(messages[0]).toEqual({ role: "user", content: askedOf(errand) });
      for (const [i, { role, content }] of messages.entries())
        if (role === "tool") expect(reply(errand, messages[i - 1]!.content)).toEqual({ says: content });
      const end = reply(errand, messages.at(-1)!.content);
      expect(end).toEqual({ isRight: right });
      expect(answer).toBe(String(answerOf(errand)));
    }
    const share = rows.filter(({ right }) => right).length / rows.length;
    if (slips === 0) expect(share).toBe(1);
    else expect(Math.abs(share - 0.4)).toBeLessThan(0.25);
  }
});
