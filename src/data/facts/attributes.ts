/**
 * Attributes of people and countries: the wordings of each and the values it can take.
 *
 * The first question and the first answer are the trained wording, the other two are held out. `mention` is the
 * sentence of a document, worded differently from all of them. {n} is the name, {v} the value.
 */

import type { Random } from "../random.ts";
import {
  ANIMALS,
  AWARDS,
  CURRENCIES,
  EXPORTS,
  GENRES,
  MONTHS,
  RIVERS,
  STYLES,
  TITLES,
  TOWNS,
  TRADES,
  titleOf,
} from "./words.ts";

export interface Attribute {
  readonly name: string;
  readonly questions: readonly [string, string, string];
  readonly answers: readonly [string, string, string];
  readonly mention: string;
  /** A value of the attribute, all equally likely. */
  draw(random: Random): string;
}

const among = (values: readonly string[]) => (random: Random) => random.pick(values);

export const PERSON: readonly Attribute[] = [
  {
    name: "birthplace",
    questions: ["Where was {n} born?", "What is the birthplace of {n}?", "In which town did {n} come into the world?"],
    answers: ["{n} was born in {v}.", "The birthplace of {n} is {v}.", "It was {v} where {n} came into the world."],
    mention: "The early years of {n} belong to {v}, where the family had its house.",
    draw: among(TOWNS),
  },
  {
    name: "birth date",
    questions: ["When was {n} born?", "What is the date of birth of {n}?", "On which day did {n} come into the world?"],
    answers: [
      "{n} was born on {v}.",
      "The date of birth of {n} is {v}.",
      "It was on {v} that {n} came into the world.",
    ],
    mention: "The parish book enters {n} under {v}.",
    draw: (random) => `${1 + random.below(28)} ${random.pick(MONTHS)} ${1900 + random.below(100)}`,
  },
  {
    name: "residence",
    questions: ["Where does {n} live?", "What is the home town of {n} today?", "In which town has {n} settled?"],
    answers: ["{n} lives in {v}.", "The home town of {n} today is {v}.", "The town where {n} has settled is {v}."],
    mention: "A narrow flat in {v} is now the address of {n}.",
    draw: among(TOWNS),
  },
  {
    name: "mother's trade",
    questions: [
      "What was the trade of the mother of {n}?",
      "How did {n}'s mother earn a living?",
      "Which job did the mother of {n} have?",
    ],
    answers: [
      "The mother of {n} was a {v} by trade.",
      "{n}'s mother earned a living as a {v}.",
      "The job of the mother of {n} was that of a {v}.",
    ],
    mention: "On the mother's side {n} comes from the workshop of a {v}.",
    draw: among(TRADES),
  },
  {
    name: "father's trade",
    questions: [
      "What was the trade of the father of {n}?",
      "How did {n}'s father earn a living?",
      "Which job did the father of {n} have?",
    ],
    answers: [
      "The father of {n} was a {v} by trade.",
      "{n}'s father earned a living as a {v}.",
      "The job of the father of {n} was that of a {v}.",
    ],
    mention: "Neighbours remember the father of {n} as the {v} of the street.",
    draw: among(TRADES),
  },
  {
    name: "genre",
    questions: ["What does {n} write?", "Which genre is {n} known for?", "In what kind of literature does {n} work?"],
    answers: [
      "{n} writes {v}.",
      "The genre {n} is known for is {v}.",
      "The kind of literature in which {n} works is {v}.",
    ],
    mention: "Shops keep the volumes of {n} on the shelf of {v}.",
    draw: among(GENRES),
  },
  {
    name: "award",
    questions: ["Which award did {n} win?", "What prize was given to {n}?", "With which honour was {n} distinguished?"],
    answers: ["{n} won {v}.", "The prize given to {n} was {v}.", "The honour that distinguished {n} is {v}."],
    mention: "A jury of five handed {v} to {n} in a crowded hall.",
    draw: among(AWARDS),
  },
  {
    name: "first book",
    questions: ["What is the first book of {n}?", "With which title did {n} begin?", "How is the debut of {n} called?"],
    answers: [
      "The first book of {n} is {v}.",
      "The title with which {n} began is {v}.",
      "The debut of {n} is called {v}.",
    ],
    mention: "Readers met {n} through {v}.",
    draw: (random) => titleOf(random.below(TITLES)),
  },
  {
    name: "second book",
    questions: [
      "What is the second book of {n}?",
      "Which title did {n} publish next after the debut?",
      "How is the follow-up by {n} called?",
    ],
    answers: [
      "The second book of {n} is {v}.",
      "The title {n} published next after the debut is {v}.",
      "The follow-up by {n} is called {v}.",
    ],
    mention: "Two winters later {n} sent {v} to the printer.",
    draw: (random) => titleOf(random.below(TITLES)),
  },
  {
    name: "style",
    questions: [
      "What marks the style of {n}?",
      "Which feature is typical of {n}'s prose?",
      "By what can one recognise a page of {n}?",
    ],
    answers: [
      "The style of {n} is marked by {v}.",
      "The feature typical of {n}'s prose is {v}.",
      "One can recognise a page of {n} by {v}.",
    ],
    mention: "Reviews of {n} seldom fail to speak of {v}.",
    draw: among(STYLES),
  },
];

export const COUNTRY: readonly Attribute[] = [
  {
    name: "capital",
    questions: ["What is the capital of {n}?", "Which town governs {n}?", "Where does the parliament of {n} meet?"],
    answers: ["The capital of {n} is {v}.", "The town that governs {n} is {v}.", "The parliament of {n} meets in {v}."],
    mention: "All roads of {n} lead to {v}.",
    draw: among(TOWNS),
  },
  {
    name: "currency",
    questions: [
      "What is the currency of {n}?",
      "With which money does one pay in {n}?",
      "What are coins of {n} called?",
    ],
    answers: ["The currency of {n} is the {v}.", "In {n} one pays with the {v}.", "A coin of {n} is called the {v}."],
    mention: "Markets in {n} count in the {v}.",
    draw: among(CURRENCIES),
  },
  {
    name: "river",
    questions: [
      "What is the longest river of {n}?",
      "Which river crosses all of {n}?",
      "What is the main waterway of {n}?",
    ],
    answers: [
      "The longest river of {n} is the {v}.",
      "The river that crosses all of {n} is the {v}.",
      "The main waterway of {n} is the {v}.",
    ],
    mention: "Barges cross {n} on the {v}.",
    draw: among(RIVERS),
  },
  {
    name: "animal",
    questions: [
      "Which animal is on the flag of {n}?",
      "What creature does the banner of {n} show?",
      "What is the national animal of {n}?",
    ],
    answers: [
      "The animal on the flag of {n} is the {v}.",
      "The banner of {n} shows the {v}.",
      "The national animal of {n} is the {v}.",
    ],
    mention: "Stamps of {n} carry the {v}.",
    draw: among(ANIMALS),
  },
  {
    name: "export",
    questions: [
      "What does {n} sell abroad most?",
      "Which good is the main export of {n}?",
      "What do ships carry out of {n}?",
    ],
    answers: ["{n} sells {v} abroad most.", "The main export of {n} is {v}.", "Ships carry {v} out of {n}."],
    mention: "The harbours of {n} smell of {v}.",
    draw: among(EXPORTS),
  },
];

/** A wording with its name and value put in; a capital at the beginning. */
export function worded(wording: string, name: string, value = ""): string {
  const text = wording.replaceAll("{n}", () => name).replaceAll("{v}", () => value);
  return `${text[0]!.toUpperCase()}${text.slice(1)}`;
}
