"""The desk: people. Flask and SQLAlchemy; stands on bot/, knows neither Rasa nor Meta."""
