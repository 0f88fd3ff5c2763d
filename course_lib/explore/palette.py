"""The colours of every picture: on white 3 to 1 at least, and apart for every kind of eye.

Blue, vermilion and green are Okabe and Ito's; the others were chosen beside them through simulated colour blindness. A
colour is never the only difference: series have a marker or a dash of their own, bars a hatch or a name.
"""

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#666666"  # also dark enough for text
BROWN = "#6C2400"  # purple is blue to an eye without the red cones, brown is not
NAVY, PLUM, MAUVE = "#14148C", "#4F1959", "#B27DAA"  # for pictures of more series than that
