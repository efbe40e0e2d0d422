/** Conversations in turns: through a pipe, and at a terminal as a user types them. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runShell } from "../support/command.ts";
import { lines, nextModel } from "./next-model.ts";

const { folder, at, run } = await nextModel("chat");
const SCRIPT = fileURLToPath(new URL("../../scripts/sample.ts", import.meta.url));

/** What the model answers to a conversation when it is asked once. */
async function answerTo(messages: readonly { role: string; content: string }[]): Promise<string> {
  writeFileSync(at("once.jsonl"), lines([{ messages }]));
  const { text } = await run("sample", ["next", "--prompts", "once.jsonl", "-m", "3", "--json", "-q"]);
  return JSON.parse(text).text;
}

test("every line of a pipe is a turn that follows the ones before", async () => {
  const line = "printf '3>\\n\\n7>\\n' | $SAMPLE next --chat -m 3 -q";
  const { text, code } = await runShell(`${line} --json`, folder);
  expect(code).toBe(0);
  const answers = text
    .trimEnd()
    .split("\n")
    .map((row) => JSON.parse(row));
  expect(answers.map(({ prompt, index, sample }) => [prompt, index, sample])).toEqual([
    ["3>", 0, 0],
    ["7>", 1, 0],
  ]);
  const first = { role: "user", content: "3>" };
  expect(answers[0].text).toBe(await answerTo([first]));
  const said = { role: "assistant", content: answers[0].text };
  expect(answers[1].text).toBe(await answerTo([first, said, { role: "user", content: "7>" }]));
  expect((await runShell(line, folder)).text).toBe(answers.map(({ text }) => `${text}\n`).join(""));
  // What is drawn depends on the seed and the turn alone.
  const drawn = () => runShell(`${line} -t 3 --seed 4`, folder);
  expect((await drawn()).text).toBe((await drawn()).text);
}, 120_000);

test("a terminal has commands, ends an answer at Ctrl-C and the conversation at Ctrl-D", async () => {
  let seen = "";
  const hear = (text: string) => {
    seen += text;
  };
  const argv = [process.execPath, SCRIPT, "next", "--chat", "-m", "2", "-t", "0"];
  const child = Bun.spawn(argv, {
    cwd: folder,
    terminal: { cols: 80, rows: 24, data: (_, data) => hear(new TextDecoder().decode(data)) },
  });
  const shown = async (text: string | RegExp) => {
    const has = () => (typeof text === "string" ? seen.includes(text) : text.test(seen));
    for (let i = 0; i < 600 && !has() && child.exitCode === null; i++) await Bun.sleep(50);
    expect(seen).toMatch(text);
    seen = "";
  };
  const { terminal } = child;
  await shown("> ");
  terminal!.write("/help\r");
  await shown("forget the conversation");
  terminal!.write("/nonsense\r");
  await shown("/nonsense is no command");
  terminal!.write("\x03");
  await shown("Ctrl-D ends");
  terminal!.write(`${"x".repeat(70)}\r`);
  await shown("leaves no room in the 64 positions of next; /reset forgets the conversation");
  terminal!.write("3>\r");
  await shown(/3>[\r\n]+[^\r\n]+\r\n.*> /s);
  terminal!.write("/reset\r");
  await shown("> ");
  terminal!.write("\x04");
  expect(await child.exited).toBe(0);
}, 120_000);

test.each([
  [["next", "--chat", "--samples", "2"], "a conversation goes on from one answer"],
  [["next", "--chat", "--effort", "0.5"], "--effort stands behind a prompt"],
  [["--chat"], "the model comes from stdin"],
])("%j is refused", async (argv, message) => {
  const { err, code } = await run("sample", argv);
  expect(err).toContain(message);
  expect(code).toBe(2);
});
