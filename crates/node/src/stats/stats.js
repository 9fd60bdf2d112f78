// Asks for the page again without losing the rows that are ticked. Without scripts the page does it by itself.
"use strict";
(() => {
  const KEY = "relevo-ticked";
  const boxes = [...document.querySelectorAll("input[name=server]")];
  const action = document.querySelector("select[name=action]");
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) || "null");
    sessionStorage.removeItem(KEY);
    if (kept) {
      boxes.forEach((box) => { box.checked = kept.boxes.includes(box.value); });
      if (action) action.value = kept.action;
    }
  } catch { /* nothing was kept */ }
  const seconds = Number(document.body.dataset.refresh);
  if (!(seconds > 0)) return;
  const again = () => {
    // Not while somebody is choosing or typing.
    const at = document.activeElement;
    if (at && at.matches("select, input:not([type=checkbox])")) return;
    const ticked = boxes.filter((box) => box.checked).map((box) => box.value);
    sessionStorage.setItem(KEY, JSON.stringify({ boxes: ticked, action: action ? action.value : "" }));
    const next = new URL(location.href);
    next.searchParams.delete("said");
    location.replace(next);
  };
  setInterval(again, seconds * 1000);
})();
