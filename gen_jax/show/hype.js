"use strict";

// The page of HYPE: start, trials, end. Scores and the staircase are in hype_score.js, how they are shown in
// hype_result.js.
(() => {
  const data = JSON.parse(document.getElementById("hype-data").textContent);
  const { staircase } = data.study;
  const $ = (id) => document.getElementById(id);
  const MASK_MS = 30; // section 2.1, as are four masks and a countdown of 500 ms for each number
  const COUNT_MS = 500;
  const FEEDBACK_MS = 2000; // of practice: to look at the image again

  // Time, which a test may bring itself. What is on the screen changes with its frames, so that waiting ends with the
  // frame that is nearest.
  const clock = window.hypeClock ?? {
    now: () => performance.now(),
    wait: (ms) => new Promise((done) => {
      const end = performance.now() + ms;
      let [last, frame] = [performance.now(), 0];
      const look = (time) => {
        [last, frame] = [time, time - last];
        if (time + Math.max(frame, 0) / 2 >= end) done(); else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }),
  };

  // Answers survive a reload where the browser keeps anything.
  const kept = {
    read: () => { try { return JSON.parse(localStorage.getItem(data.key)); } catch { return null; } },
    write: (session) => { try { localStorage.setItem(data.key, JSON.stringify(session)); } catch { /* for this visit only */ } },
    clear: () => { try { localStorage.removeItem(data.key); } catch { /* nothing was kept */ } },
  };

  const show = (id) => {
    for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
    $(id).focus({ preventScroll: true });
    window.scrollTo(0, 0);
  };

  // The stage.
  const context = $("image").getContext("2d");
  const loaded = async (uri) => {
    const image = new Image();
    image.src = uri;
    await image.decode();
    return image;
  };
  const draw = (image) => {
    context.clearRect(0, 0, data.width, data.height);
    if (image) context.drawImage(image, 0, 0);
    $("image").classList.toggle("shown", Boolean(image));
  };
  const fixate = (text) => { $("fixation").textContent = text; };
  const report = (text, verdict = "") => { $("feedback").textContent = text; $("feedback").className = verdict; };
  // An image, or nothing, in place of what was there: the verdict goes with the image that it was on.
  const put = (image) => {
    fixate("");
    report("");
    draw(image);
  };
  let masks = [];

  // What is said of an answer: nothing; whether it was right; that together with the image, from which to learn.
  const silent = () => put(null);
  const told = (image, real, right, beside = null) => {
    put(beside);
    report(`${right ? "Right" : "Wrong"}: it was ${real ? "real" : "generated"}.`, right ? "right" : "wrong");
  };
  const explained = (image, real, right) => told(image, real, right, image);

  // How images are shown in either mode, what is said of answers that count, and what is measured.
  const modes = {
    unlimited: {
      limited: false,
      score: hype.infinity,
      comment: silent,
      present: async (image) => {
        fixate("+");
        await clock.wait(COUNT_MS);
        put(image);
        return null;
      },
    },
    "time-limited": {
      limited: true,
      score: hype.time,
      comment: told,
      present: async (image, exposure, number) => {
        for (const text of ["3", "2", "1"]) {
          fixate(text);
          await clock.wait(COUNT_MS);
        }
        put(image);
        const start = clock.now();
        await clock.wait(exposure);
        const shown = clock.now() - start;
        for (let i = 0; i < 4; i += 1) {
          draw(masks[(4 * number + i) % masks.length]);
          await clock.wait(MASK_MS);
        }
        draw(null);
        fixate("?");
        return shown;
      },
    },
  };

  // Waits for a button or a key; true for "real".
  const keys = { r: true, arrowleft: true, f: false, arrowright: false };
  let answer = null;
  const buttons = [[$("real"), true], [$("generated"), false]];
  for (const [button, saysReal] of buttons) button.addEventListener("click", () => answer?.(saysReal));
  document.addEventListener("keydown", (event) => {
    const saysReal = keys[event.key.toLowerCase()];
    if (!answer || saysReal === undefined || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    answer(saysReal);
  });
  const asked = () => new Promise((done) => {
    for (const [button] of buttons) button.disabled = false;
    answer = (saysReal) => {
      answer = null;
      for (const [button] of buttons) button.disabled = true;
      done(saysReal);
    };
  });
  const pressed = (id) => new Promise((done) => { $(id).addEventListener("click", done, { once: true }); });

  // Which images are real: a bit for each.
  const truth = Uint8Array.from(atob(data.truth), (character) => character.charCodeAt(0));
  const isReal = (index) => Boolean((truth[index >> 3] >> (7 - index % 8)) & 1);

  // One image: fixation, image, and for a limited time the masks; then the answer.
  const trial = async (mode, index, exposure, comment) => {
    const image = await loaded(data.images[index].uri);
    const shown = await mode.present(image, exposure, index);
    const start = clock.now();
    const saidReal = await asked();
    const reaction = clock.now() - start;
    const real = isReal(index);
    comment(image, real, real === saidReal);
    return {
      image: data.images[index].id,
      real,
      said_real: saidReal,
      reaction_ms: Math.round(reaction),
      exposure_ms: mode.limited ? exposure : null,
      shown_ms: shown === null ? null : Math.round(shown),
    };
  };

  const practise = async (mode) => {
    for (let index = 0; index < data.practice; index += 1) {
      $("count").textContent = `Practice ${index + 1} of ${data.practice}`;
      await trial(mode, index, staircase.start, explained);
      await clock.wait(FEEDBACK_MS);
      put(null);
    }
    report("That was practice. From now on it counts.");
    await clock.wait(FEEDBACK_MS);
    report("");
  };

  // Answers what is left of a session, block by block.
  const ask = async (session) => {
    const mode = modes[session.mode];
    const { answers } = session;
    masks = await Promise.all(data.masks.map(loaded));
    $("progress").value = answers.length;
    show("trial");
    if (!answers.length) await practise(mode);
    let end = 0;
    for (const [block, size] of data.blocks.entries()) {
      const first = end;
      end += size;
      if (answers.length === first && block && mode.limited) {
        $("rest-text").textContent = `${block} of ${data.blocks.length} blocks are done. Look into the distance for a while.`;
        show("rest");
        await pressed("resume");
        report("");
        show("trial");
      }
      while (answers.length < end) {
        const last = answers.at(-1);
        const exposure = answers.length === first ? staircase.start : hype.next(staircase, last.exposure_ms, last.real === last.said_real);
        $("count").textContent = `${answers.length + 1} of ${data.study.images}`;
        answers.push({ ...await trial(mode, data.practice + answers.length, exposure, mode.comment), block });
        $("progress").value = answers.length;
        kept.write(session);
      }
    }
    finish(session);
  };

  let saved = false;
  const finish = (session) => {
    const { limited, score } = modes[session.mode];
    const rows = score(session.answers);
    session.result = rows.map(({ metric, value, interval, unit }) => ({ metric, value, interval, unit }));
    saved = false;
    hypeResult.fill(session, rows, limited);
    show("end");
    $("save").onclick = () => { hypeResult.save(session); saved = true; };
  };

  // The start.
  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const anew = () => {
    kept.clear();
    $("choice").hidden = false;
    $("unfinished").hidden = true;
    show("start");
  };
  $("choice").addEventListener("submit", (event) => {
    event.preventDefault();
    ask({
      format: data.format,
      session: random(),
      evaluator: $("evaluator").value.trim(),
      mode: new FormData($("choice")).get("mode"),
      started: new Date().toISOString(),
      study: data.study,
      answers: [],
    });
  });
  $("continue").addEventListener("click", () => ask(kept.read()));
  $("discard").addEventListener("click", anew);
  $("again").addEventListener("click", () => {
    if (saved || window.confirm("These answers are not saved yet and will be gone. Answer again all the same?")) anew();
  });

  const before = kept.read();
  const answered = Array.isArray(before?.answers) && before.mode in modes ? before.answers.length : 0;
  if (answered === data.study.images) {
    finish(before);
  } else if (answered) {
    $("answered").textContent = answered;
    $("choice").hidden = true;
    $("unfinished").hidden = false;
    show("start");
  } else {
    show("start");
  }
})();
