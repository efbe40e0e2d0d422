/**
 * Rendered digits: 5 x 7 glyphs on a small grey canvas, shifted, turned, covered with noise, and on request with
 * classes that get rarer and rarer.
 *
 * Streams for continual learning come of `--stream`: groups of digits (split), permutations of the pixels (Goodfellow
 * et al. 2013, arXiv:1312.6211), and angles, offsets and noise that grow (drift).
 *
 * The long tail follows Cui et al. 2019 (arXiv:1901.05555): the frequency of class c is in proportion to ratio^(-c /
 * 9).
 */
import { UserError } from "../../errors.ts";
import { cos, exp, ln, sin } from "../portable.ts";
import { balancedLabel, permutation, Random } from "../random.ts";
import { task } from "../task.ts";

const WIDTH = 5;
const HEIGHT = 7;

/** Rows of each digit from top to bottom, five bits each, the left one highest. */
const FONT: readonly (readonly number[])[] = [
  [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
  [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
  [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
  [0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110],
  [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
  [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
  [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
  [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
  [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
  [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
];

/** The ink of a digit at whole coordinates, 0 outside. */
const ink = (digit: number, column: number, row: number): number =>
  column < 0 || column >= WIDTH || row < 0 || row >= HEIGHT ? 0 : (FONT[digit]![row]! >> (WIDTH - 1 - column)) & 1;

/** The ink at any place, interpolated between the four places around it. */
function inkBetween(digit: number, column: number, row: number): number {
  const [left, top] = [Math.floor(column), Math.floor(row)];
  const [x, y] = [column - left, row - top];
  const above = (1 - x) * ink(digit, left, top) + x * ink(digit, left + 1, top);
  const below = (1 - x) * ink(digit, left, top + 1) + x * ink(digit, left + 1, top + 1);
  return (1 - y) * above + y * below;
}

/** The digits of a text. Throws UserError for another character, and for one that comes twice. */
function digitsOf(text: string): number[] {
  if (/^\d+$/.test(text) && new Set(text).size === text.length) return [...text].map(Number);
  throw new UserError(`--digits ${text}: expected different digits in a row`, "for example --digits 013");
}

/** Throws UserError where a digit would leave the canvas. */
function checkPlace(canvas: number, shift: number, offset: number): void {
  const room = Math.floor((canvas - WIDTH) / 2);
  const most = Math.min(room, Math.floor((canvas - HEIGHT) / 2));
  if (shift > most)
    throw new UserError(
      `--shift ${shift} moves digits off a canvas of ${canvas} pixels`,
      `at most ${most}, or a larger --canvas`,
    );
  if (shift + Math.abs(offset) > room)
    throw new UserError(
      `--offset ${offset} and --shift ${shift} move digits off a canvas of ${canvas} pixels`,
      `at most ${room} together, or a larger --canvas`,
    );
}

const rounded = (x: number): number => Math.round(Math.min(1, Math.max(0, x)) * 1000) / 1000;

export const method = task({
  name: "glyphs",
  title: "Rendered digits",
  about: "5 x 7 digits on a small canvas with shifts, turns, noise and long tails",
  cite: "arXiv:1901.05555",
  splits: "independent renderings of the same ten digits; noise makes every picture its own",
  options: {
    canvas: { type: "7 <= number.integer <= 64", default: 12, help: "width and height in pixels" },
    shift: {
      type: "0 <= number.integer <= 57",
      default: 2,
      help: "farthest move from the middle, in pixels, both ways",
    },
    rotation: { type: "0 <= number <= 90", default: 0, help: "largest turn, in degrees, both ways" },
    angle: { type: "-180 <= number <= 180", default: 0, help: "a turn of every digit, in degrees, before --rotation" },
    offset: { type: "-57 <= number.integer <= 57", default: 0, help: "pixels that every digit is moved to the right" },
    noise: {
      type: "0 <= number <= 10",
      default: 0.1,
      help: "standard deviation added to each pixel; ink is 1, paper 0",
    },
    imbalance: {
      type: "1 <= number <= 100000",
      default: 1,
      help: "in train, how much more frequent 0 is than 9; the others lie between; validation and test stay balanced",
    },
    digits: { type: "string", default: "0123456789", value: "DIGITS", help: "digits that occur, written in a row" },
    labels: {
      type: "'digit' | 'place'",
      default: "digit",
      help: "place: a label is the digit's place among --digits, from 0",
    },
    pixels: {
      type: "0 <= number.integer <= 1000000",
      default: 0,
      value: "N",
      help: "number of a permutation of the pixels, the same for all rows of a seed; 0: as they are",
    },
  },

  laws: { apart: true, distinctRows: true, answered: true, endless: true },
  content: ({ x }) => String(x),
  trials: [
    {},
    { rotation: 30, imbalance: 100 },
    { digits: "47", labels: "place", pixels: 3, angle: 90, offset: -1, imbalance: 4 },
  ],

  open({ seed, split }, { canvas, shift, rotation, angle, offset, noise, imbalance, digits, labels, pixels }) {
    checkPlace(canvas, shift, offset);
    const drawn = digitsOf(digits);
    const [left, top] = [Math.floor((canvas - WIDTH) / 2) + offset, Math.floor((canvas - HEIGHT) / 2)];
    const tailed = split === "train" && imbalance > 1;
    const weights = drawn.map((_, c) => (tailed && c > 0 ? exp((-c / (drawn.length - 1)) * ln(imbalance)) : 1));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const labelOf = (place: number) => (labels === "place" ? place : drawn[place]!);
    const share = Array.from({ length: labels === "place" ? drawn.length : 10 }, () => 0);
    for (const [place, weight] of weights.entries()) share[labelOf(place)] = weight / total;
    const home = pixels > 0 ? permutation(canvas * canvas, seed, "glyphs-pixels", pixels) : (i: number) => i;
    const places = Array.from({ length: canvas * canvas }, (_, i) => home(i)); // where a pixel is shown

    return {
      rows: Number.POSITIVE_INFINITY,
      facts: { shape: [1, canvas, canvas], classes: share.length, class_share: share },
      row(index) {
        const random = new Random(seed, "glyphs", split, index);
        const place = tailed ? random.weighted(weights) : balancedLabel(drawn.length, index, seed, "glyphs", split);
        const move = () => random.below(2 * shift + 1) - shift;
        const [right, down] = [move(), move()];
        const degrees = (2 * random.uniform() - 1) * rotation + angle;
        const turn = ((Math.abs(degrees) > 180 ? degrees - Math.sign(degrees) * 360 : degrees) * Math.PI) / 180;
        const [c, s] = turn === 0 ? [1, 0] : [cos(turn), sin(turn)];
        const [middleX, middleY] = [(WIDTH - 1) / 2, (HEIGHT - 1) / 2];
        const x = new Array<number>(canvas * canvas);
        for (let row = 0; row < canvas; row++)
          for (let column = 0; column < canvas; column++) {
            // From the canvas back to the glyph: undo the move, then the turn about the glyph's middle.
            const dx = column - left - right - middleX;
            const dy = row - top - down - middleY;
            const value = inkBetween(drawn[place]!, c * dx + s * dy + middleX, c * dy - s * dx + middleY);
            x[places[row * canvas + column]!] = rounded(value + (noise > 0 ? noise * random.normal() : 0));
          }
        return { x, label: labelOf(place) };
      },
    };
  },
});
