// Sends the answer of a sign-in to the application. Without scripts there is a button.
"use strict";
document.getElementById("answer").submit();
