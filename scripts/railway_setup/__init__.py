"""What `scripts/railway-setup.sh` does: compares what is on Railway with what should be, and does the rest.

    read what is there  (project.py)
    say what should be  (services.py)
    plan the difference (plan.py), print it, ask
    do it step by step  (railway.py)

It keeps nothing of its own. Whatever stopped it, the next run reads again and plans what is left.
"""
