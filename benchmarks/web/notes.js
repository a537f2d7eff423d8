// In the page that is measured, before its own script: notes when what was painted, in milliseconds.
(() => {
  const MARK = /\bmark (\d+)\b/;
  const notes = { longTasks: [], painted: {}, frames: [] };
  let isCounting = false;
  let input = 0;
  let board = null;

  /** Calls back once the frame that shows what the page is now is painted. */
  const painted = (then) =>
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = then;
      port2.postMessage(null);
    });
  const count = (time) => {
    notes.frames.push(time);
    if (isCounting) requestAnimationFrame(count);
  };
  const marksIn = (node) =>
    node.nodeType === Node.TEXT_NODE
      ? [node.data.match(MARK)]
      : [...(node.querySelectorAll?.("[data-card] a") ?? [])].map((a) => a.textContent.match(MARK));

  Object.assign(notes, {
    startFrames() {
      notes.frames = [];
      isCounting = true;
      requestAnimationFrame(count);
    },
    stopFrames() {
      isCounting = false;
      return notes.frames;
    },
    /** Takes the time from the next move of the hand to the next board. */
    awaitBoard() {
      input = 0;
      board = Promise.withResolvers();
    },
    boardWithin(ms) {
      setTimeout(() => board.resolve(null), ms);
      return board.promise;
    },
  });
  window.notes = notes;

  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      notes.longTasks.push([startTime, duration]);
  }).observe({ type: "longtask", buffered: true });

  addEventListener("pointermove", ({ timeStamp }) => (input = timeStamp), true);

  new MutationObserver((records) => {
    const fresh = [];
    let isBoard = false;
    for (const { type, target, addedNodes } of records) {
      for (const node of type === "characterData" ? [target] : addedNodes) {
        for (const found of marksIn(node))
          if (found !== null && !(found[1] in notes.painted)) fresh.push(found[1]);
        isBoard ||= target.parentElement?.closest("[data-column] > header") != null;
      }
    }
    if (fresh.length > 0)
      painted(() => {
        for (const mark of fresh) notes.painted[mark] ??= Date.now();
      });
    // The numbers over the columns: the board is another one.
    if (isBoard && board !== null && input > 0) {
      const { resolve } = board;
      const since = input;
      painted(() => resolve(performance.now() - since));
    }
  }).observe(document, { subtree: true, childList: true, characterData: true });
})();
