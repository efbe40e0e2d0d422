/** Mistakes of users who train on a small machine, each followed as its message says. */
import { testMistakes } from "./mistakes.ts";

testMistakes([
  {
    typed: "ingot train base --data a.jsonl --learning-rate 1e-3 --steps 1 --batch-size 2 -o t1/",
    says: "here it is --lr",
    follow: "ingot train base --data a.jsonl --lr 1e-3 --steps 1 --batch-size 2 -o t1/",
    gives: "t1/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl,b.jsonl --steps 1 --batch-size 2 -o t2/",
    says: "each file has its own flag",
    follow: "ingot train base --data a.jsonl --data b.jsonl --steps 1 --batch-size 2 -o t2/",
    gives: "t2/model.safetensors",
  },
  {
    typed: "ingot train base --data x=a.jsonl,y=b.jsonl --steps 1 --batch-size 2 -o t3/",
    says: "each file has its own flag",
    follow: "ingot train base --data x=a.jsonl --data y=b.jsonl --steps 1 --batch-size 2 -o t3/",
    gives: "t3/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --seed 0,1 --steps 1 --batch-size 2 -o t4/",
    says: "run it once for each",
    follow:
      "for seed in 0 1; do ingot train base --data a.jsonl --steps 1 --batch-size 2 --seed $seed -o t4-$seed/; done",
    gives: "t4-1/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --batch 2 --steps 1 -o t5/",
    says: "here it is --batch-size",
    follow: "ingot train base --data a.jsonl --batch-size 2 --steps 1 -o t5/",
    gives: "t5/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --gradient-accumulation-steps 2 --steps 1 --batch-size 2 -o t6/",
    says: "here it is --accumulate",
    follow: "ingot train base --data a.jsonl --accumulate 2 --steps 1 --batch-size 2 -o t6/",
    gives: "t6/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --max-grad-norm 1 --steps 1 --batch-size 2 -o t7/",
    says: "here it is --clip",
    follow: "ingot train base --data a.jsonl --clip 1 --steps 1 --batch-size 2 -o t7/",
    gives: "t7/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --warmup-ratio 0.1 --steps 1 --batch-size 2 -o t8/",
    says: "here it is --warmup",
    follow: "ingot train base --data a.jsonl --warmup 0.1 --steps 1 --batch-size 2 -o t8/",
    gives: "t8/model.safetensors",
  },
  {
    typed: "ingot train base --data a.json --steps 1 --batch-size 2 -o t9/",
    says: "did you mean a.jsonl?",
    follow: "ingot train base --data a.jsonl --steps 1 --batch-size 2 -o t9/",
    gives: "t9/model.safetensors",
  },
  {
    typed: "ingot train tiny.json --tokenizer byte --data a.jsonl --steps 1 --batch-size 2 -o t10/",
    says: "for a new model: --init tiny.json",
    follow: "ingot train --init tiny.json --tokenizer byte --data a.jsonl --steps 1 --batch-size 2 -o t10/",
    gives: "t10/model.safetensors",
  },
  {
    typed: "ingot train --init tiny.json --data a.jsonl --steps 1 --batch-size 2 -o t11/",
    says: "there is no tokenizer",
    follow: "ingot train --init tiny.json --data a.jsonl --tokenizer byte --steps 1 --batch-size 2 -o t11/",
    gives: "t11/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --epochs 1 --steps 1 --batch-size 2 -o t12/",
    says: "both --steps and --epochs say how long to train",
    follow: "ingot train base --data a.jsonl --epochs 1 --batch-size 2 -o t12/",
    gives: "t12/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --data ./a.jsonl --steps 1 --batch-size 2 -o t13/",
    says: "--data ./a.jsonl is given twice",
    follow: "ingot train base --data a.jsonl --steps 1 --batch-size 2 -o t13/",
    gives: "t13/model.safetensors",
  },
  {
    typed: "ingot train base --data pairs.jsonl --steps 1 --batch-size 2 -o t14/",
    says: "unknown row with the keys ask, reply",
    follow:
      "ingot train base --data pairs.jsonl --columns prompt=ask,completion=reply --steps 1 --batch-size 2 -o t14/",
    gives: "t14/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --bf16 --steps 1 --batch-size 2 -o t15/",
    says: "here it is --dtype bf16",
    follow: "ingot train base --data a.jsonl --dtype bf16 --steps 1 --batch-size 2 -o t15/",
    gives: "t15/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --optimizer adamw_torch --steps 1 --batch-size 2 -o t16/",
    says: "did you mean adamw?",
    follow: "ingot train base --data a.jsonl --optimizer adamw --steps 1 --batch-size 2 -o t16/",
    gives: "t16/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --schedule cosine_with_warmup --steps 1 --batch-size 2 -o t17/",
    says: "did you mean cosine?",
    follow: "ingot train base --data a.jsonl --schedule cosine --steps 1 --batch-size 2 -o t17/",
    gives: "t17/model.safetensors",
  },
  {
    typed: "ingot train base --dataset a.jsonl --steps 1 --batch-size 2 -o t18/",
    says: "here it is --data",
    follow: "ingot train base --data a.jsonl --steps 1 --batch-size 2 -o t18/",
    gives: "t18/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --max-length 4096 --steps 1 --batch-size 2 -o t19/",
    says: "--max-length 4096 is more than the 128 positions of base",
    follow: "ingot train base --data a.jsonl --max-length 128 --steps 1 --batch-size 2 -o t19/",
    gives: "t19/model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --lora-rank 2 --steps 1 --batch-size 2 -o t20/",
    says: "--lora-rank has no effect without --lora",
    follow: "ingot train base --data a.jsonl --lora-rank 2 --lora --steps 1 --batch-size 2 -o t20/",
    gives: "t20/adapter_model.safetensors",
  },
  {
    typed: "ingot train base a.jsonl --steps 1 --batch-size 2 -o t21/",
    says: "did you mean --data a.jsonl?",
    follow: "ingot train base --data a.jsonl --steps 1 --batch-size 2 -o t21/",
    gives: "t21/model.safetensors",
  },
  {
    typed: "ingot train --model base --data a.jsonl --steps 1 --batch-size 2 -o t22/",
    says: "a model has no flag: ingot train base",
    follow: "ingot train base --data a.jsonl --steps 1 --batch-size 2 -o t22/",
    gives: "t22/model.safetensors",
  },
  {
    typed: "ingot curriculum base --data a.jsonl --data b.jsonl --method statik --steps 1 --batch-size 2 -o c1/",
    says: "did you mean static?",
    follow: "ingot curriculum base --data a.jsonl --data b.jsonl --method static --steps 1 --batch-size 2 -o c1/",
    gives: "c1/model.safetensors",
  },
  {
    typed: "ingot curriculum base --data a.jsonl --data b.jsonl --method skill-it --steps 1 --batch-size 2 -o c2/",
    says: "--method skill-it needs --graph",
    follow: "ingot curriculum graph base --data a.jsonl --data b.jsonl --edges a:b -o graph2.json",
    gives: "graph2.json",
    own: "--edges a:b graph2.json",
  },
  {
    typed: "ingot curriculum select base --data a.jsonl --method lowest-loss --keep-rows 3",
    says: "did you mean --select-by lowest-loss?",
    follow: "ingot curriculum select base --data a.jsonl --select-by lowest-loss --keep-rows 3",
    gives: /prompt/,
  },
  {
    typed: "ingot distill --teacher one --student base --method kl --data a.jsonl --steps 1 --batch-size 2 -o d1/",
    says: "did you mean kd?",
    follow: "ingot distill --teacher one --student base --method kd --data a.jsonl --steps 1 --batch-size 2 -o d1/",
    gives: "d1/model.safetensors",
  },
  {
    typed: "ingot distill --teacher-model one --student base --data a.jsonl --steps 1 --batch-size 2 -o d2/",
    says: "here it is --teacher",
    follow: "ingot distill --teacher one --student base --data a.jsonl --steps 1 --batch-size 2 -o d2/",
    gives: "d2/model.safetensors",
  },
  {
    typed: "ingot distill --teacher one --data a.jsonl --steps 1 --batch-size 2 -o d3/",
    says: "no --student and no --init",
    follow: "ingot distill --teacher one --student base --data a.jsonl --steps 1 --batch-size 2 -o d3/",
    gives: "d3/model.safetensors",
    own: "base",
  },
  {
    typed: "ingot distill one base --data a.jsonl --steps 1 --batch-size 2 -o d4/",
    says: "name what learns: --student base",
    follow: "ingot distill one --student base --data a.jsonl --steps 1 --batch-size 2 -o d4/",
    gives: "d4/model.safetensors",
  },
  {
    typed: "ingot data adition --size 3",
    says: "did you mean addition?",
    follow: "ingot data addition --size 3",
    gives: /prompt/,
  },
  {
    typed: "ingot data addition --num-samples 3",
    says: "here it is --size",
    follow: "ingot data addition --size 3",
    gives: /prompt/,
  },
  {
    typed: "ingot report a.jsonl --md",
    says: "give a log that a script wrote with --log",
    follow: "ingot report run.jsonl --md",
    gives: /loss/,
    own: "run.jsonl",
  },
  {
    typed: "ingot train base --data a.jsonl --lora --lora-targets qv --steps 1 --batch-size 2 -o t23/",
    says: "there are down_proj, embed_tokens, gate_proj, k_proj, o_proj, q_proj",
    follow: "ingot train base --data a.jsonl --lora --lora-targets q_proj --steps 1 --batch-size 2 -o t23/",
    gives: "t23/adapter_model.safetensors",
  },
  {
    typed: "ingot train base --data a.jsonl --patience 2 --eval-every 1 --steps 1 --batch-size 2 -o t24/",
    says: "has no effect without --eval-data or --eval-split",
    follow:
      "ingot train base --data a.jsonl --patience 2 --eval-every 1 --eval-split 0.3 --steps 1 --batch-size 2 -o t24/",
    gives: /held-out loss/,
    own: "0.3",
  },
  {
    typed: "ingot distill one two base --data a.jsonl --method mtard --steps 1 --batch-size 2 -n",
    says: "name what learns: --student base",
    follow: "ingot distill one two --data a.jsonl --method mtard --student base --steps 1 --batch-size 2 -n",
    gives: /teachers/,
  },
  {
    typed: "ingot distill one two --student base --data a.jsonl --steps 1 --batch-size 2 -n",
    says: "several teachers: --method fusion-x, logit-ensemble, mtard or smooth-mix",
    follow: "ingot distill one two --student base --data a.jsonl --method mtard --steps 1 --batch-size 2 -n",
    gives: /teachers/,
  },
  {
    typed: "ingot distill --teacher base --student base --data a.jsonl --steps 1 --batch-size 2 -n",
    says: "base is teacher and student, so there is nothing to learn",
    follow: "ingot distill --teacher one --student base --data a.jsonl --steps 1 --batch-size 2 -n",
    gives: /teachers/,
    own: "one",
  },
  {
    typed: "ingot curriculum base --data a.jsonl --data b.jsonl --method dmt --special c --steps 1 --batch-size 2 -n",
    says: "the groups are a, b",
    follow: "ingot curriculum base --data a.jsonl --data b.jsonl --method dmt --special a --steps 1 --batch-size 2 -n",
    gives: /2 groups|a 12 rows/,
  },
  {
    typed:
      "ingot curriculum base --data a.jsonl --data b.jsonl --method static --mixture 0.5 --steps 1 --batch-size 2 -n",
    says: "give one for each of a, b",
    follow:
      "ingot curriculum base --data a.jsonl --data b.jsonl --method static --mixture 0.5,0.5 --steps 1 --batch-size 2 -n",
    gives: /a 12 rows/,
    own: "0.5,0.5",
  },
  {
    typed: "ingot curriculum base --data a.jsonl --data b.jsonl --method task-balance --steps 1 --batch-size 2 -n",
    says: "--strategy equal, random, dwa and gap need none",
    follow:
      "ingot curriculum base --data a.jsonl --data b.jsonl --method task-balance --strategy equal --steps 1 --batch-size 2 -n",
    gives: /a 12 rows/,
  },
  {
    typed: "ingot curriculum plan",
    says: "needs --flops or --parameters",
    follow: "ingot curriculum plan --flops 1e18",
    gives: /tokens per parameter/,
    own: "1e18",
  },
  {
    typed: "ingot data addition --set digits:2 --size 3",
    says: "did you mean --set digits=2?",
    follow: "ingot data addition --set digits=2 --size 3",
    gives: /prompt/,
  },
  {
    typed: "ingot data --size 3 addition",
    says: "the task comes first: ingot data addition",
    follow: "ingot data addition --size 3",
    gives: /prompt/,
  },
  {
    typed: "ingot data show",
    says: "for example ingot data show rows.jsonl --tokenizer model/",
    follow: "ingot data show a.jsonl --tokenizer base",
    gives: /a\.jsonl:1/,
    own: "a.jsonl base",
  },
  {
    typed: "ingot report run.jsonl -o page.pdf",
    says: "end the name in .html, .svg",
    follow: "ingot report run.jsonl -o page.html",
    gives: "page.html",
    own: "page.html",
  },
  {
    typed: "ingot report run.jsonl --md -o r.csv",
    says: "leave out --md",
    follow: "ingot report run.jsonl -o r.csv",
    gives: "r.csv",
  },
  ...(Bun.which("jq") === null
    ? []
    : [
        {
          typed: "ingot data show lines.txt --tokenizer byte",
          says: "jq -Rc '{text: .}' makes them of lines of text",
          follow: "jq -Rc '{text: .}' lines.txt > lines.jsonl && ingot data show lines.jsonl --tokenizer byte",
          gives: /lines\.jsonl:2/,
          own: "lines.jsonl > &&",
        },
      ]),
]);
