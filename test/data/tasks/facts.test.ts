/** Facts about invented people: sets by person, one truth per person told everywhere, wordings and documents. */
import { expect, test } from "bun:test";
import { COUNTRY, PERSON, worded } from "../../../src/data/facts/attributes.ts";
import * as words from "../../../src/data/facts/words.ts";
import type { Row } from "../../../src/data/task.ts";
import { openTask, rowsOf } from "./open-task.ts";

const all = async (options: Record<string, unknown> = {}): Promise<Row[]> =>
  rowsOf(await openTask("facts", { people: 40, ...options }), Number.POSITIVE_INFINITY);

const subjects = (rows: readonly Row[]): Set<unknown> => new Set(rows.map(({ subject }) => subject));

/** What the questions of a set say of each person: "name/attribute" to value. */
const truths = (rows: readonly Row[]): Map<string, unknown> =>
  new Map(rows.map(({ subject, attribute, value }) => [`${subject}/${attribute}`, value]));

test("word lists hold each word once, and no two names or titles are alike", () => {
  for (const list of Object.values(words)) if (Array.isArray(list)) expect(new Set(list).size).toBe(list.length);
  expect(new Set(Array.from({ length: words.TITLES }, (_, i) => words.titleOf(i))).size).toBe(words.TITLES);
});

test("every attribute has enough values for five wrong ones, and wordings that differ", () => {
  for (const { questions, answers, mention } of [...PERSON, ...COUNTRY]) {
    expect(new Set([...questions, ...answers, mention]).size).toBe(7);
    for (const text of questions) expect(text).toMatch(/^[^{]*\{n\}[^{]*\?$/);
    for (const text of [...answers, mention])
      expect([text.includes("{n}"), text.includes("{v}"), text.at(-1)]).toEqual([true, true, "."]);
  }
  expect(worded("{n} knows {v}.", "the $& author", "$1")).toBe("The $& author knows $1.");
});

test("target is retain and forget, holdout are others, as many as the forget set", async () => {
  const [target, forget, retain, holdout] = await Promise.all(
    ["target", "forget", "retain", "holdout"].map((part) => all({ part, forget_share: 0.2 })),
  );
  expect([target!, forget!, retain!, holdout!].map((rows) => subjects(rows).size)).toEqual([40, 8, 32, 8]);
  expect(target!.length).toBe(400);
  expect([...retain!, ...forget!]).toEqual(target!);
  for (const name of subjects(holdout!)) expect(subjects(target!).has(name)).toBe(false);
  for (const [rows, group] of [
    [forget!, "forget"],
    [retain!, "retain"],
    [holdout!, "holdout"],
  ] as const)
    for (const row of rows) expect(row.group).toBe(group);
});

test("a small forget set lies inside a larger one, and people stay who they are", async () => {
  const [small, large] = [
    await all({ part: "forget", forget_share: 0.05 }),
    await all({ part: "forget", forget_share: 0.2 }),
  ];
  expect(subjects(small).size).toBe(2);
  for (const name of subjects(small)) expect(subjects(large).has(name)).toBe(true);
  const known = truths(await all());
  for (const [fact, value] of truths(large)) expect(known.get(fact)).toBe(value);
});

test("four requests share out the forget set in order", async () => {
  const rows = await all({ part: "forget", forget_share: 0.2 });
  const requests = new Map(rows.map(({ person, request }) => [person as number, request]));
  expect([...requests.values()]).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
  for (const { request } of await all({ part: "retain" })) expect(request).toBeUndefined();
});

test("rows hold the truth in trained and held-out wordings, and five wrong values in the paraphrase's words", async () => {
  for (const row of await all()) {
    const value = row.value as string;
    expect(row.prompt).toBe(`Question: ${row.question}\nAnswer:`);
    expect(row.completion).toBe(` ${row.answer}`);
    const answers = [row.answer as string, ...(row.paraphrased_answers as string[])];
    const questions = [row.question as string, ...(row.paraphrased_questions as string[])];
    expect(new Set(answers).size).toBe(3);
    expect(new Set(questions).size).toBe(3);
    expect([row.paraphrased_question as string, row.paraphrased_answer as string]).toEqual([
      questions[1]!,
      answers[1]!,
    ]);
    for (const text of answers) expect(text).toContain(value);
    for (const text of [...answers, ...questions]) expect(text).toContain(row.subject as string);
    const wrong = row.perturbed_answer as string[];
    expect(new Set(wrong).size).toBe(5);
    const [before, after] = answers[1]!.split(value) as [string, string];
    for (const text of wrong) {
      expect(text).not.toBe(answers[1]!);
      expect(text.startsWith(before) && text.endsWith(after)).toBe(true);
    }
    expect(words.REFUSALS).toContain(row.refusal as string);
  }
});

test("no two people share a book, so that a first book names one person", async () => {
  const books = (await all({ people: 2000 })).filter(({ attribute }) => /book/.test(attribute as string));
  expect(new Set(books.map(({ value }) => value)).size).toBe(4000);
  const known = truths(await all({ part: "forget" }));
  const twoHop = await all({ part: "two-hop" });
  expect(twoHop.length).toBe(4 * 9);
  for (const { question, subject, attribute, value } of twoHop) {
    expect(question).not.toContain(subject as string);
    expect(question).toContain(`the author of ${known.get(`${subject}/first book`)}`);
    expect(known.get(`${subject}/${attribute}`)).toBe(value);
  }
});

test("neighbours are the retained people who share a birthplace or a surname with a forgotten one", async () => {
  const [forget, retain] = [await all({ part: "forget", people: 100 }), await all({ part: "retain", people: 100 })];
  const places = (rows: readonly Row[]) =>
    new Map(
      rows
        .filter(({ attribute }) => attribute === "birthplace")
        .map(({ subject, value }) => [subject as string, value as string]),
    );
  const surname = (name: string) => name.split(" ")[1]!;
  const marks = new Set([...places(forget)].flatMap(([name, place]) => [place, surname(name)]));
  const expected = [...places(retain)]
    .filter(([name, place]) => marks.has(place) || marks.has(surname(name)))
    .map(([name]) => name);
  expect(expected.length).toBeGreaterThan(3);
  expect([...subjects(await all({ part: "neighbour", people: 100 }))]).toEqual(expected);
});

test("passages tell the facts that knowledge questions ask for, in other words; verbatim rows cut them in two", async () => {
  const [documents, verbatim, knowledge] = await Promise.all(
    ["documents", "verbatim", "knowledge"].map((form) => all({ form, told: 4 })),
  );
  const known = truths(await all());
  expect([documents!.length, verbatim!.length, knowledge!.length]).toEqual([40, 40, 160]);
  for (const [i, { text, subject }] of documents!.entries()) {
    const passage = text as string;
    const sentences = passage.match(/[^.]+\./g)!.length;
    expect(sentences).toBeGreaterThanOrEqual(6);
    expect(sentences).toBeLessThanOrEqual(12);
    const { prompt, completion } = verbatim![i]!;
    expect(`${prompt}${completion}`).toBe(passage);
    expect(Math.abs((prompt as string).split(" ").length - passage.split(" ").length / 3)).toBeLessThanOrEqual(1);
    const asked = knowledge!.slice(4 * i, 4 * i + 4);
    expect(new Set(asked.map(({ attribute }) => attribute)).size).toBe(4);
    for (const row of asked) {
      expect(row.subject).toBe(subject);
      expect(known.get(`${subject}/${row.attribute}`)).toBe(row.value);
      expect(passage).toContain(row.value as string);
      for (const wording of [row.answer, ...(row.paraphrased_answers as string[])])
        expect(passage).not.toContain(wording as string);
    }
  }
});

test("the world is the same in all splits, and no documents tell of it", async () => {
  const train = truths(await all({ part: "world" }));
  expect(train.size).toBe(120);
  expect(truths(await all({ part: "world", split: "test" }))).toEqual(train);
  await expect(all({ part: "world", form: "documents" })).rejects.toThrow("--part world has no documents");
});

test("the largest populations have names and books for all, holdout included", async () => {
  for (const split of ["train", "validation", "test"] as const) {
    const source = await openTask("facts", { people: 13_000, forget_share: 1, part: "holdout", split });
    expect(source.row(source.rows - 1).group).toBe("holdout");
  }
});
