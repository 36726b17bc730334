() => {
  window.waits = [];
  let released = 0;
  addEventListener("mouseup", (event) => { released = event.timeStamp; }, true);
  new MutationObserver(() => {
    if (!document.getElementById("status").textContent.startsWith("saved")) return;
    const since = released;
    // The second frame begins when the first, which shows the new grid, is on the screen.
    requestAnimationFrame(() => requestAnimationFrame((now) => {
      if (since) window.waits.push(now - since);
    }));
  }).observe(document.getElementById("status"), { childList: true });
}
